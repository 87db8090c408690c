"""The pool among the program's own threads, forks, child processes, signals and the end of the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minpy.runtime.fuse import pool

ROOT = str(Path(__file__).parents[2])
HEAD = """
import faulthandler, os, sys, threading, warnings
faulthandler.dump_traceback_later(40, exit=True)
warnings.simplefilter("error")
import numpy as np

def f(a, b):
    return np.tanh(a[:] * b + a) - np.exp(-b)

def g(a):
    a = a.reshape(200, -1)
    return np.sum(a * a + 1), np.sort(a, axis=1), (a - 1).mean(axis=0), np.median(a, axis=0)

def digest(seed=0):
    a = np.random.default_rng(seed).random(40_000)
    parts = [f(a, a), *g(a), np.random.default_rng(seed).random(a.size)]
    return hash(b"".join(np.asarray(part).tobytes() for part in parts))

"""


def run(tmp_path: Path, text: str, engine: str = "force:tiled3", **environ: str) -> str:
    """Run a program under MinPy; what it prints. A program that hangs says where, and fails."""
    path = tmp_path / "program.py"
    path.write_text(HEAD + textwrap.dedent(text))
    environment = {
        **os.environ, "MINPY_FUSE": engine, "MINPY_CACHE_DIR": str(tmp_path / "cache"), "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "3", "PYTHONPATH": ROOT, **environ,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(path)],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def test_results_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    text = "print(digest(1), digest(2))"
    expected = run(tmp_path, text, "off")
    for threads in (1, 2, 3, 5, 16):
        assert run(tmp_path, text, f"force:tiled{threads}") == expected
    for threads in ("1", "2"):
        assert run(tmp_path, text, "auto", OMP_NUM_THREADS=threads) == expected


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

FORKS = {
    "fork and go on": """
        expected = digest()
        for _ in range(5):
            child = os.fork()
            if not child:
                os._exit(0 if digest() == expected else 3)
            assert digest() == expected
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("fine")
    """,
    "fork while other threads are at work": """
        expected, wrong, over = digest(), [], threading.Event()
        def work():
            while not over.is_set():
                if digest() != expected:
                    wrong.append(1)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of forks in programs with threads
            for _ in range(6):
                child = os.fork()
                if not child:
                    os._exit(0 if digest() == expected else 3)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        over.set()
        for thread in threads:
            thread.join()
        assert not wrong
        print("fine")
    """,
    "a signal's handler forks, and calls blocks, in the midst of work": """
        import signal, time
        expected, children = digest(), []
        def handler(*_):
            children.append(os.fork())
            if not children[-1]:
                os._exit(0 if digest() == expected else 3)
            assert digest() == expected
            if len(children) < 6:  # never one in the midst of another
                signal.setitimer(signal.ITIMER_REAL, 0.02)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while len(children) < 6:
            assert digest() == expected
        assert all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)
        print("fine")
    """,
    "the child returns from the handler into the work": """
        import signal, time
        expected, child = digest(), None
        def handler(*_):
            global child
            child = os.fork()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        while child is None:
            assert digest() == expected
        assert digest() == expected
        if not child:
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("fine")
    """,
}


@needs_fork
@pytest.mark.parametrize("name", FORKS)
def test_forks(tmp_path: Path, name: str) -> None:
    assert run(tmp_path, FORKS[name]) == "fine\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no such way to start a process")
    text = f"""
        import multiprocessing
        if __name__ == "__main__":
            warnings.simplefilter("default" if {method!r} != "fork" else "ignore")
            expected = [digest(k) for k in range(4)]
            with multiprocessing.get_context({method!r}).Pool(2) as processes:
                assert processes.map(digest, range(4)) == expected
            assert [digest(k) for k in range(4)] == expected
            print("fine")
    """
    assert run(tmp_path, text) == "fine\n"


INSIDE = {
    "a pool of the program's own": """
        from concurrent.futures import ThreadPoolExecutor
        expected = [digest(k) for k in range(24)]
        with ThreadPoolExecutor(6) as executor:
            for _ in range(2):
                assert list(executor.map(digest, range(24))) == expected
        print("fine")
    """,
    "pools in pools": """
        from concurrent.futures import ThreadPoolExecutor
        expected = digest(3)
        def inner(_):
            with ThreadPoolExecutor(2) as executor:
                return set(executor.map(digest, [3, 3, 3]))
        with ThreadPoolExecutor(4) as executor:
            assert all(found == {expected} for found in executor.map(inner, range(6)))
        print("fine")
    """,
    "daemons at work when the program ends": """
        def work():
            while True:
                digest()
        digest()
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        print("fine")
    """,
    "what runs when the interpreter shuts down": """
        import atexit
        expected = digest()
        def last():
            assert digest() == expected
            print("fine")
        atexit.register(last)
        class Late:
            def __del__(self, f=f, a=np.ones(40_000)):
                f(a, a)
        kept = Late()
        kept.itself = kept
        sys.kept = Late()
    """,
    "errors and warnings of the parts": """
        a = np.random.default_rng(0).random((400, 500))
        def sums(a):
            return np.sum(np.log(a - 0.5), axis=1)
        for _ in range(20):
            try:
                sums(a)
            except RuntimeWarning as warning:
                assert "invalid value encountered in log" in str(warning)
            else:
                raise AssertionError("no warning")
            with np.errstate(all="ignore"):
                assert np.isnan(sums(a)).any()
            with np.errstate(invalid="raise"):
                try:
                    sums(a)
                except FloatingPointError:
                    pass
                else:
                    raise AssertionError("no error")
        digest()
        assert threading.active_count() == 1
        print("fine")
    """,
    "Ctrl-C, again and again": """
        import signal, time
        warnings.simplefilter("ignore")  # of files that are open when an import is interrupted
        sys.unraisablehook = lambda what: None  # nor of callbacks of the import system's
        expected, caught = digest(), 0
        a = np.random.default_rng(0).random((600, 900))
        armed = False
        def handler(*_):
            global armed
            if armed:
                armed = False
                raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.013)
        until = time.monotonic() + 1.0
        while True:
            try:
                armed = True
                while time.monotonic() < until:
                    np.sort(a, axis=1), np.sum(a * a, axis=0), np.median(a, axis=1)
                armed = False
                break
            except KeyboardInterrupt:
                caught += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert caught > 5, caught
        assert digest() == expected
        if hasattr(os, "fork"):
            child = os.fork()
            if not child:
                os._exit(0 if digest() == expected else 3)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("fine")
    """,
}


@pytest.mark.parametrize("name", INSIDE)
def test_threads(tmp_path: Path, name: str) -> None:
    assert run(tmp_path, INSIDE[name]) == "fine\n"


def test_more_threads_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> int:
        raise RuntimeError("can't start new thread")

    pool._before_fork()  # none is there
    pool._after_fork_in_parent()
    monkeypatch.setattr(pool._thread, "start_new_thread", refused)
    done: list[int] = []
    pool.run(done.append, 5)
    assert done == [0, 1, 2, 3, 4] and not pool._helpers


def test_every_part_is_done_once() -> None:
    for parts in (1, 2, 3, 9):
        done: list[int] = []
        pool.run(done.append, parts)
        assert sorted(done) == list(range(parts))
    assert not pool._holder and not pool._inside


def test_work_in_the_midst_of_work() -> None:
    """As a deleted object's code may do it, in whichever thread."""
    done: list[tuple[int, int]] = []

    def inner(part: int) -> None:
        pool.run(lambda number: done.append((part, number)), 3)

    pool.run(inner, 4)
    assert sorted(done) == [(part, number) for part in range(4) for number in range(3)]


def test_who_comes_late_is_not_taken_for_one_who_is_still_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    works: list[Any] = []

    class Seen(pool._Work):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            works.append(self)

    monkeypatch.setattr(pool, "_Work", Seen)
    began, release = threading.Event(), threading.Event()

    def work(_: int) -> None:
        if threading.current_thread() is first:
            assert began.wait(30)
        else:
            began.set()
            assert release.wait(30)

    first = threading.Thread(target=pool.run, args=(work, 2))
    first.start()
    assert began.wait(30)
    first.join(0.1)
    works[0].take_part()  # late: nothing is left to do
    first.join(0.2)
    assert first.is_alive()
    release.set()
    first.join(30)
    assert not first.is_alive()


def test_who_waits_for_the_pool_does_the_work_alone() -> None:
    """Two threads at the same time, of which one has the pool: both come to an end, and neither waits for the other."""
    began, release = threading.Event(), threading.Event()

    def slow(part: int) -> None:
        began.set()
        assert release.wait(30)

    first = threading.Thread(target=pool.run, args=(slow, 2))
    first.start()
    assert began.wait(30)
    done: list[int] = []
    pool.run(done.append, 3)
    assert done == [0, 1, 2]
    release.set()
    first.join(30)
    assert not first.is_alive() and not pool._holder


def test_after_an_error_no_part_is_begun() -> None:
    release = threading.Event()
    begun: list[int] = []

    def work(part: int) -> None:
        begun.append(part)
        if len(begun) == 1:
            raise ValueError("first")
        assert release.wait(30)

    timer = threading.Timer(0.2, release.set)
    timer.start()
    with pytest.raises(ValueError, match="first"):
        pool.run(work, 50)
    assert len(begun) <= 50
    timer.join()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(pool, "quota", lambda: 100)
    before = os.sched_getaffinity(0)
    assert pool.width() == min(len(before), 64)
    try:
        os.sched_setaffinity(0, {min(before)})
        monkeypatch.setattr(pool, "_affinity", (-1.0, 0))
        assert pool.width() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "table", "expected"),
    [
        ({"cpu.max": "150000 100000"}, "0::/\n", 2),
        ({"cpu.max": "max 100000", "a/cpu.max": "400000 100000", "a/b/cpu.max": "90000 100000"}, "0::/a/b\n", 1),
        ({"a/cpu.max": "max 100000"}, "0::/a\n", 1 << 16),
        ({"cpu,cpuacct/d/cpu.cfs_quota_us": "300000", "cpu,cpuacct/d/cpu.cfs_period_us": "100000"}, "3:cpu,cpuacct:/d\n1:memory:/d\n", 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu:/\n", 1 << 16),
        ({"cpu.max": "nonsense"}, "0::/\nbroken\n", 1 << 16),
        ({}, "", 1 << 16),
    ],
)  # fmt: skip
def test_quota(tmp_path: Path, files: dict[str, str], table: str, expected: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "table").write_text(table)
    assert pool.quota(str(tmp_path / "table"), str(tmp_path)) == expected
    assert pool.quota(str(tmp_path / "none"), str(tmp_path)) == 1 << 16


def test_options_say_how_many(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text("from minpy.runtime.fuse import pool\nprint(pool.width())\n")
    for words, expected in (([], None), (["--threads", "1"], "1"), (["--threads", "2"], "2")):
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        done = subprocess.run(
            [sys.executable, "-m", "minpy", "run", *words, str(path)],
            env={**environment, "PYTHONPATH": ROOT}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        usable = (
            min(len(os.sched_getaffinity(0)), pool.quota())
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count()
        )
        assert done.stdout.strip() == str(min(int(expected or 64), usable or 1))


def test_random_numbers_do_not_depend_on_threads_that_draw_too() -> None:
    """A generator that several threads use gives each number once, as NumPy's lock has it."""
    from minpy.runtime.fuse.call import Call

    generator = np.random.default_rng(4)
    wanted = np.sort(np.random.default_rng(4).random(8 * 5000))
    found: list[Any] = []

    def work() -> None:
        for _ in range(2):
            done, numbers = Call("__random(v0,size=v1)", "force:tiled2").run((generator, 5000))
            assert done
            found.extend(numbers)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.sort(np.concatenate(found)).tobytes() == wanted.tobytes()
