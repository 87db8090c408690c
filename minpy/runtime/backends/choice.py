"""Which back end drives a GPU: MXNet where it has code for the card and is installed, else CuPy; and why.

MXNet's last wheel for GPUs holds machine code for the compute capabilities 5.0 to 8.6 and nothing that a driver could
compile for others: cards from 9.0 on (Hopper, Blackwell) it cannot use at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from minpy.errors import DeviceError, UsageError
from minpy.runtime.backends.driver import Card, Driver, query

OLDEST_MXNET, NEWEST_MXNET = 5, 8  # the major numbers of the capabilities
# CUDA's version by the name of CuPy's wheel: the driver it needs, and the oldest card.
CUPY = {
    "cupy-cuda11x": ((11, 0), (3, 5)),
    "cupy-cuda12x": ((12, 0), (5, 0)),
    "cupy-cuda13x": ((13, 0), (7, 5)),
}


@dataclass(frozen=True)
class Choice:
    """What drives a GPU.

    Attributes
    ----------
    backend : str
        ``"mxnet"`` or ``"cupy"``; empty if nothing does.
    why : str
        The reason for it, or against all.
    repair : str
        What to do where nothing drives it.
    """

    backend: str
    why: str
    repair: str = ""


@dataclass(frozen=True)
class Installed:
    """What there is to choose from.

    Attributes
    ----------
    mxnet : str
        The distribution of MXNet for GPUs; empty if there is none.
    cupy : str
        CuPy's; empty if there is none.
    """

    mxnet: str = ""
    cupy: str = ""


def installed() -> Installed:
    """What is installed, by the names of the distributions."""
    names = {(dist.metadata["Name"] or "").lower().replace("_", "-") for dist in metadata.distributions()}
    mxnet = sorted(name for name in names if name.startswith("mxnet-cu"))
    cupy = sorted(name for name in names if name == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm")))
    return Installed(
        mxnet[-1] if mxnet and _is_there("mxnet") else "",
        cupy[-1] if cupy and _is_there("cupy") else ("cupy" if _is_there("cupy") else ""),
    )


def _is_there(name: str) -> bool:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def choose(card: Card, driver: Driver, found: Installed, wanted: str = "auto") -> Choice:
    """The back end for one GPU.

    Parameters
    ----------
    card, driver, found
        The GPU, its driver, what is installed.
    wanted : {'auto', 'mxnet', 'cupy'}
        What ``MINPY_GPU_BACKEND`` says.
    """
    capability = ".".join(map(str, card.capability))
    title = f"{card.name} (capability {capability})"
    fits = OLDEST_MXNET <= card.capability[0] <= NEWEST_MXNET
    against_mxnet = (
        ""
        if fits
        else f"MXNet 1.9.1 has no code for {title}: it has for {OLDEST_MXNET}.0 to {NEWEST_MXNET}.9"
    )
    against_cupy = _against_cupy(card, driver, found.cupy, title)
    if wanted in ("auto", "mxnet") and fits and found.mxnet:
        return Choice("mxnet", f"{found.mxnet} has code for {title}")
    if wanted in ("auto", "cupy") and found.cupy and not against_cupy:
        return Choice("cupy", against_mxnet or f"no mxnet-cu112 is installed; {found.cupy} drives {title}")
    wheel = _wheel(card, driver)
    if not wheel:
        what = (
            f"{title} is too old"
            if card.capability < (5, 0)
            else f"the driver runs CUDA {driver.version} only"
        )
        repair = "update NVIDIA's driver" if card.capability >= (5, 0) else "use another GPU, or the CPU"
        return Choice("", f"{what}: neither MXNet nor CuPy can drive it", repair)
    if wanted == "mxnet":
        if fits:
            return Choice("", "mxnet-cu112 is not installed", "pip install 'minpy[cu112]'")
        return Choice("", against_mxnet, "unset MINPY_GPU_BACKEND")
    if found.cupy and against_cupy:
        return Choice("", against_cupy, f"pip uninstall -y {found.cupy} && pip install {wheel}")
    extra = {"cupy-cuda12x": "cupy", "cupy-cuda13x": "cupy13"}.get(wheel)
    return Choice(
        "",
        f"no library that drives {title} is installed",
        f"pip install 'minpy[{extra}]'" if extra else f"pip install {wheel}",
    )


def _wheel(card: Card, driver: Driver) -> str:
    """The newest wheel of CuPy's that this driver and card can use; empty if none."""
    version = driver.version or (0, 0)
    for name, (needs, oldest) in reversed(CUPY.items()):
        if version >= needs and card.capability >= oldest:
            return name
    return ""


def _against_cupy(card: Card, driver: Driver, name: str, title: str) -> str:
    if name not in CUPY:
        return ""
    needs, oldest = CUPY[name]
    if driver.version is not None and driver.version < needs:
        have = ".".join(map(str, driver.version))
        return f"{name} needs a driver for CUDA {needs[0]}.{needs[1]}; this one runs CUDA {have}"
    if card.capability < oldest:
        return f"{name} has no code for {title}: it has from {oldest[0]}.{oldest[1]} on"
    return ""


def wanted() -> str:
    """What ``MINPY_GPU_BACKEND`` says.

    Raises
    ------
    UsageError
        If it names nothing that there is.
    """
    text = os.environ.get("MINPY_GPU_BACKEND", "").lower() or "auto"
    if text not in ("auto", "mxnet", "cupy"):
        raise UsageError(f"MINPY_GPU_BACKEND={text!r}: choose auto, mxnet or cupy")
    return text


def backend_for(device_id: int) -> str:
    """The back end of ``gpu(device_id)``.

    Raises
    ------
    DeviceError
        If there is no such GPU, or nothing drives it; says why, and what to do.
    """
    asked = wanted()
    driver = query()
    if not driver.cards:
        raise DeviceError(
            f"gpu({device_id}) is not there: {driver.reason}; {driver.repair}. `minpy doctor` looks closer"
        )
    if device_id >= len(driver.cards):
        known = ", ".join(f"gpu({card.index})" for card in driver.cards)
        raise DeviceError(f"gpu({device_id}) is not there: this machine has {known}")
    choice = choose(driver.cards[device_id], driver, installed(), asked)
    if not choice.backend:
        raise DeviceError(f"gpu({device_id}) cannot be used: {choice.why}; {choice.repair}")
    return choice.backend
