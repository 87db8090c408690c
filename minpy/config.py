"""``minpy.Config`` of the original: the default policy, and the modules that follow it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from types import ModuleType
from typing import Any

from minpy.errors import UsageError
from minpy.runtime.policy import get_global_policy, set_global_policy


class _Config(MutableMapping[str, Any]):
    """A mapping with the keys ``default_policy`` (what `minpy.set_global_policy` sets) and ``modules``."""

    def __getitem__(self, key: str) -> Any:
        if key == "default_policy":
            return get_global_policy()
        if key == "modules":
            return _modules()
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "default_policy":
            raise UsageError(f"Config takes 'default_policy', not {key!r}")
        set_global_policy(value)

    def __delitem__(self, key: str) -> None:
        raise UsageError("nothing can be taken out of Config")

    def __iter__(self) -> Iterator[str]:
        return iter(("modules", "default_policy"))

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return repr(dict(self))


def _modules() -> list[ModuleType]:
    import minpy.numpy as np

    return [np, np.random]


Config = _Config()


def check_mxnet_version() -> None:
    """Check that MXNet loads and is new enough (0.9.2).

    Raises
    ------
    DeviceError
        If it is not; says why, and what to do.
    """
    from minpy.errors import DeviceError
    from minpy.runtime.backends.mxnet import load

    version = load().__version__
    if tuple(map(int, version.split(".")[:3])) < (0, 9, 2):
        raise DeviceError(f"MXNet {version} is too old: install it with pip install 'minpy[cpu]'")
