"""Puts a run's options in force in this process. For the default options that is nothing at all."""

from __future__ import annotations

from minpy.options import Options, parse_context


def apply(options: Options) -> None:
    """Set policy, context, precision, profile and nan check as `options` say.

    Raises
    ------
    DeviceError
        If a GPU was asked for that cannot be used.
    """
    if options.context != "cpu":
        from minpy.runtime.context import Context, set_context

        set_context(Context(*parse_context(options.context)))
    if options.policy != "auto":
        from minpy.runtime.policy import set_global_policy

        set_global_policy(options.policy)
    if options.precision != "program":
        from minpy.runtime import precision

        precision.force(options.precision)
    if options.profile != "off" and options.operators:
        from minpy.runtime import profile

        profile.start(profile.run)
    if options.nan_check != "off":
        from minpy.runtime import nancheck

        nancheck.start(options.nan_check)
