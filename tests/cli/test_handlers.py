"""What a signal's handler raises while MinPy reads its cache, writes it or rewrites reaches the program."""

from __future__ import annotations

import gc
import os
import signal
import sys
import weakref
from functools import partial

import pytest

from minpy import handlers
from minpy.options import Options
from minpy.runtime import kept
from minpy.runtime.fuse import memory
from minpy.transform import build, cache, rewriter

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that makes its reader wait")

SOURCE = b"import numpy as np\nprint(np.exp(1.0))\n"


def given(number, frame):
    raise TimeoutError("too long")


def all_in_one(*arguments):
    given(*arguments)


class Stopper:
    def __call__(self, number, frame):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # once
        raise TimeoutError("too long")


HANDLERS = {"function": given, "arguments": all_in_one, "object": Stopper(), "partial": partial(given)}


@pytest.fixture(params=HANDLERS)
def waits(request, tmp_path, monkeypatch):
    """A function that makes a file which makes its reader wait; a handler raises meanwhile."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def make(where):
        os.makedirs(os.path.dirname(where), exist_ok=True)
        os.mkfifo(where)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        return where

    before = signal.signal(signal.SIGALRM, HANDLERS[request.param])
    yield make
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("read", [cache.load, build.find_or_build])
def test_bytecode_is_read(waits, tmp_path, read):
    path = str(tmp_path / "program.py")
    waits(cache.entry_path(path, Options()))
    with pytest.raises(TimeoutError, match="too long"):
        read(SOURCE, path, Options())


def test_what_is_kept_is_read(waits, tmp_path):
    where = waits(kept.folder("loops", "x"))
    with pytest.raises(TimeoutError, match="too long"):
        kept.read_checked(where)


def test_what_is_known_of_blocks_is_read(waits):
    waits(memory._file())
    with pytest.raises(TimeoutError, match="too long"):
        memory._load()


def test_a_module_is_rewritten(waits, tmp_path, monkeypatch):
    def slow(*_, **__):
        signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(rewriter, "compile_with_report", slow)
    with pytest.raises(TimeoutError, match="too long"):
        build.find_or_build(SOURCE, str(tmp_path / "program.py"), Options())


def test_a_file_that_cannot_be_read_is_no_handlers(tmp_path):
    for call, place in ((open, tmp_path / "none"), (os.makedirs, "/proc/none/none")):
        try:
            call(place)
        except OSError as error:
            assert not handlers.raised(error)


def test_nobody_is_kept_alive(tmp_path):
    """By a miss of the cache: the caller's variables go when it returns, without the collector."""

    class Thing:
        pass

    def call():
        thing = Thing()
        assert kept.read_checked(str(tmp_path / "none")) is None
        return weakref.ref(thing)

    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()


def test_the_program_catches_it(bench, tmp_path):
    """At the start of a loop, with a cache that waits."""
    bench.write(
        "main.py",
        """
import os, signal, sys
import numpy as np

def stop(*_):
    raise TimeoutError("stop")

signal.signal(signal.SIGALRM, stop)
folder = os.environ["MINPY_CACHE_DIR"]
os.makedirs(folder, exist_ok=True)
os.mkfifo(os.path.join(folder, "blocks.json"))
a = np.arange(200_000.0)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    while True:
        b = a * 2 + a - a * a
except TimeoutError as error:
    print("caught", error)
""",
    )
    outcome = bench.minpy("run", "main.py", MINPY_CACHE_DIR=str(tmp_path / "cache"))
    assert (outcome.status, outcome.text) == (0, "caught stop\n"), outcome.error
