"""Forks that wait for work in foreign code."""

from __future__ import annotations

import os
import threading
from time import sleep

import pytest

from minpy.runtime import gate as module
from minpy.runtime.gate import Gate

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")


def _child_of_a_fork(check) -> int:
    child = os.fork()
    if not child:
        os._exit(0 if check() else 1)
    return os.waitpid(child, 0)[1]


def test_a_fork_waits_for_who_is_inside() -> None:
    gate, inside, seen = Gate(), threading.Event(), []

    def work() -> None:
        with gate:
            inside.set()
            sleep(0.1)
            seen.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    assert _child_of_a_fork(lambda: seen == ["done"] and not gate._inside and not gate._closed) == 0
    thread.join()
    assert not gate._inside and not gate._closed


def test_who_comes_during_a_fork_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, entered = Gate(), threading.Event()

    def work() -> None:
        with gate:
            entered.set()

    gate._close()
    thread = threading.Thread(target=work)
    thread.start()
    assert not entered.wait(0.05) and not gate._inside
    gate._open()
    assert entered.wait(10)
    thread.join()


def test_a_thread_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    gate = Gate()
    with gate:
        with gate:
            gate._close()
            with gate:
                pass
            gate._open()
        assert _child_of_a_fork(lambda: len(gate._inside) == 1) == 0
        assert len(gate._inside) == 1
    assert not gate._inside


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One who hangs for ever must not keep a program from forking."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    gate, over, inside = Gate(), threading.Event(), threading.Event()

    def work() -> None:
        with gate:
            inside.set()
            over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    assert _child_of_a_fork(lambda: not gate._inside) == 0
    over.set()
    thread.join()
