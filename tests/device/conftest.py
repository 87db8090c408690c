"""Simulated GPUs for the tests of this folder."""

from __future__ import annotations

import contextlib
import sys
import types
import weakref
from collections.abc import Iterator

import pytest
import simulated

from minpy.runtime import backends, placement, profile, small, transfers
from minpy.runtime.backends import choice
from minpy.runtime.backends import cupy as backend
from minpy.runtime.context import cpu, set_context


@pytest.fixture
def machine(monkeypatch) -> Iterator[simulated.Machine]:
    """A machine with two simulated GPUs, which `gpu(0)` and `gpu(1)` are."""
    made = simulated.Machine(cards=2)
    monkeypatch.setattr(backend.library, "module", made.cupy)
    monkeypatch.setattr(backends, "_devices", {})
    cupyx = types.SimpleNamespace(errstate=lambda **kwargs: contextlib.nullcontext())
    monkeypatch.setitem(sys.modules, "cupyx", cupyx)
    monkeypatch.setattr(choice, "backend_for", lambda device_id: "cupy")
    monkeypatch.setattr(placement, "_accounts", weakref.WeakKeyDictionary())
    transfers.uploads().clear()
    small.forget()
    yield made
    set_context(cpu())
    transfers.uploads().clear()
    transfers.double.clear()
    small.forget()


@pytest.fixture
def recorder() -> Iterator[profile.Recorder]:
    """Records what runs where."""
    made = profile.start(profile.Recorder())
    yield made
    profile.stop(made)
