"""Fill a blacklist by trying: every function of the table with a kernel on the device is called with its samples.

The original called some 600 lines of NumPy for it. Here a kernel is only asked for what its row says it can do, so that
on a machine whose back end is sound nothing is found.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import numpy as np

from minpy.runtime import dispatch
from minpy.runtime.policy import AutoBlacklistPolicy
from minpy.runtime.primitives import table

_DTYPES = ("float32", "float64", "int32")


def test_ufunc(policy: AutoBlacklistPolicy) -> None:
    """Try the element-wise functions under a policy that makes rules."""
    _try(policy, (row for row in _rows() if row.elementwise))


def test_numeric(policy: AutoBlacklistPolicy) -> None:
    """Try what makes arrays, and products."""
    _try(policy, (row for row in _rows() if row.family in ("create", "products", "random", "linalg")))


def test_fromnumeric(policy: AutoBlacklistPolicy) -> None:
    """Try all other functions: reductions, shapes, indices."""
    others = ("create", "products", "random", "linalg")
    _try(policy, (row for row in _rows() if not row.elementwise and row.family not in others))


# (They are no tests of pytest's, whatever their names.)
for _function in (test_ufunc, test_numeric, test_fromnumeric):
    _function.__test__ = False  # type: ignore[attr-defined]


def generate_default_blacklist(loc: str | os.PathLike | None = None) -> AutoBlacklistPolicy:
    """Try all functions on the device of the current context, and keep rules about those that fail.

    Parameters
    ----------
    loc : path, optional
        The file of the rules, or its folder; it is written then. See `minpy.runtime.rules.Rules`.

    Returns
    -------
    AutoBlacklistPolicy
        With the rules.

    Raises
    ------
    DeviceError
        If there is no device.
    """
    from minpy.runtime.context import current_context

    current_context().device()
    policy = AutoBlacklistPolicy(gen_rule=True, append_rule=False, loc=loc)
    for part in (test_ufunc, test_numeric, test_fromnumeric):
        part(policy)
    if loc is not None:
        policy.save_rules()
    return policy


def _rows() -> list[table.Primitive]:
    table.load()
    return [row for row in table.rows() if type(row.mxnet) is not str and row.samples is not None]


def _try(policy: AutoBlacklistPolicy, rows: Iterable[table.Primitive]) -> None:
    state = np.random.get_state()
    try:
        with policy, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for row in rows:
                for dtype in _DTYPES:
                    for args, kwargs in row.samples(np.random.default_rng(0), np.dtype(dtype)):
                        try:
                            dispatch.call(row, args, kwargs)
                        except Exception:
                            continue  # NumPy does not take it either
    finally:
        np.random.set_state(state)
