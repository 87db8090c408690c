"""`minpy run --workers`: copies of a program, what is shown of them, and how they end. None of it needs MXNet."""

from __future__ import annotations

import os
import re
import signal
import sys
import time

import pytest
from launched import Run, alive, environment, gone

from minpy import cli
from minpy.distributed import hosts, watch
from minpy.distributed.remote import Frames, frame

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")


@pytest.fixture
def start(tmp_path, tmp_path_factory):
    """Start a program's text in so many workers."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    runs = []

    def begin(text: str, *words: object, workers: int = 2, driver: str | None = None, **environ: str) -> Run:
        (tmp_path / "program.py").write_text(text)
        run = Run(
            "--workers", workers, *words, cwd=tmp_path, environ=environment(cache, **environ), driver=driver
        )
        runs.append(run)
        return run

    yield begin
    for run in runs:
        run.popen.kill()


PLAIN = """
import os, sys
import numpy as np
print("worker", os.environ["MINPY_RANK"], "of", os.environ["MINPY_WORKERS"], np.arange(4).sum(), sys.argv[1:])
sys.stderr.write("to the other\\n")
for part in ("one ", "line ", "in parts"):
    print(part, end="", flush=True)
"""


def test_a_plain_program_runs_in_copies(start):
    """It never heard of MinPy; its lines come whole, with the worker's name, on the stream they were written to."""
    run = start(PLAIN, "program.py", "--workers", "a b", workers=3)
    assert run.end() == 0
    lines = [
        line
        for n in range(3)
        for line in (
            f"[worker {n}] worker {n} of 3 6 ['--workers', 'a b']",
            f"[worker {n}] one line in parts",
        )
    ]
    assert sorted(run.out) == sorted(lines)
    assert sorted(line for line in run.err if "to the other" in line) == [
        f"[worker {n}] to the other" for n in range(3)
    ]
    assert not any("scheduler" in line for line in run.err)


def test_modules_code_and_options_reach_the_workers(start, tmp_path):
    """`-m` and `-c` too; the programs can ask who they are."""
    text = "import sys; from minpy import distributed as d; print(d.rank(), d.workers(), sys.flags.optimize, __name__)"
    run = start(text, "--no-cache", "--policy=only_numpy", "-m", "program")
    assert run.end() == 0
    assert sorted(run.out) == ["[worker 0] 0 2 0 __main__", "[worker 1] 1 2 0 __main__"]
    run = start("", "-c", text, workers=1)
    assert run.end() == 0 and run.out == ["[worker 0] 0 1 0 __main__"]


WAITS = """
import os, signal, subprocess, sys, time
rank = os.environ["MINPY_RANK"]
if len(sys.argv) > 1 and rank == "1":
    time.sleep(0.3)
    exec(sys.argv[1])
child = subprocess.Popen(["sleep", "300"])
print("child", child.pid)
def said(number, frame):
    print("got", signal.Signals(number).name)
    if number == signal.SIGINT:
        sys.exit(5)
for number in (signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, said)
end = time.time() + 200
while time.time() < end:
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("sys.exit(7)", 7, "worker 1 ended with exit status 7. The others were stopped"),
        ("1 / 0", 1, "worker 1 ended with exit status 1. The others were stopped"),
        ("os.kill(os.getpid(), 9)", 137, "worker 1 was killed by SIGKILL. The others were stopped"),
    ],
)
def test_one_that_fails_ends_all(start, how, status, said):
    """With its status, and a line that says which it was; what the others had started is gone, too."""
    run = start(WAITS, "program.py", how)
    assert run.end() == status
    assert run.error == f"minpy: error: {said} [MP061]"
    children = [int(m[1]) for line in run.out if (m := re.search(r"child (\d+)", line))]
    assert gone(children)
    if how == "1 / 0":
        assert "[worker 1] ZeroDivisionError: division by zero" in run.err


def test_signals_are_passed_on(start):
    """The launcher ends by the signal itself, after its workers."""
    run = start(WAITS, "program.py")
    for n in range(2):
        run.wait_for(rf"\[worker {n}\] child")
    run.popen.send_signal(signal.SIGUSR1)
    for n in range(2):
        run.wait_for(rf"\[worker {n}\] got SIGUSR1")
    run.popen.send_signal(signal.SIGINT)
    assert run.end() == -signal.SIGINT
    assert sorted(line for line in run.out if "SIGINT" in line) == [
        f"[worker {n}] got SIGINT" for n in range(2)
    ]
    assert not any("error" in line for line in run.err)

    run = start(WAITS, "program.py")
    children = [int(run.wait_for(rf"\[worker {n}\] child (\d+)")[1]) for n in range(2)]
    run.popen.send_signal(signal.SIGTERM)
    assert run.end() == -signal.SIGTERM
    assert gone(children)


def test_workers_end_with_a_launcher_that_was_killed(start):
    """Even if it had no time to end them."""
    run = start(WAITS, "program.py")
    for n in range(2):
        run.wait_for(rf"\[worker {n}\] child")
    pids = run.pids()
    assert len(pids) == 2 and all(alive(pid) for pid in pids)
    run.popen.kill()
    assert run.end() == -signal.SIGKILL and gone(pids)


WAITING = """
import os, sys, time
from minpy.distributed import member
member.tell(b"K")  # as one that has joined a store
if os.environ["MINPY_RANK"] == "0":
    member.tell(b"W")  # and waits
    time.sleep(200)
exec(sys.argv[1])
"""
DRIVER = """
import sys
from minpy.distributed import launch
launch.LINGER = 0.5
from minpy.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("pass", 1, "the program of worker 1 is over while worker 0 waits for it. The others were stopped"),
        (
            "sys.exit()",
            1,
            "the program of worker 1 is over while worker 0 waits for it. The others were stopped",
        ),
        ("os._exit(0)", 1, "worker 1 ended in the midst of a training. The others were stopped. With Solver"),
        ("sys.exit(4)", 4, "worker 1 ended with exit status 4. The others were stopped"),
        (
            "raise KeyboardInterrupt",
            130,
            "worker 1 was killed by SIGINT. The others were stopped. With Solver",
        ),
    ],
)
def test_one_that_leaves_a_training_is_not_waited_for(start, how, status, said):
    """The others would wait for it for ever, and MXNet for them, at the end of the process."""
    run = start(WAITING, "program.py", how, driver=DRIVER)
    assert run.end() == status
    assert run.error.startswith(f"minpy: error: {said}")


def test_a_worker_says_that_it_waits(monkeypatch):
    """Not at once: most waits are short."""
    monkeypatch.setattr(watch, "_TELL_AFTER", 0.2)
    told: list[bytes] = []
    seen = watch.Watch(600.0, told.append, "worker 0")
    with seen.waiting("in a test"):
        pass
    assert told == []
    with seen.waiting("in a test"):
        end = time.monotonic() + 60
        while not told and time.monotonic() < end:
            time.sleep(0.05)
        assert told == [b"W"]
    assert told == [b"W", b"w"]


MISSING = """
import numpy as np
from minpy.nn.io import NDArrayIter
from minpy.nn.model_builder import Affine, Model
from minpy.nn.solver import Solver
data = NDArrayIter(np.zeros((8, 2)), np.zeros(8), 4)
Solver(Model(Affine(2), "softmax", (2,)), data, data, kvstore="dist_sync")
"""


def test_without_mxnet_there_is_one_error(start, tmp_path):
    """It says how to install it; a program that trains nothing together does not need it."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *more: None if name == 'mxnet' else find(name, *more)\n"
    )
    path = os.pathsep.join([str(hidden), environment(tmp_path)["PYTHONPATH"]])
    run = start(MISSING, "program.py", PYTHONPATH=path)
    assert run.end() == 1
    said = [line for line in run.err if "MXNet is not installed" in line]
    assert len(said) == 1 and "pip install 'minpy[cpu]'" in said[0] and "[MP020]" in said[0]
    assert run.error == "minpy: error: worker 0 ended with exit status 1. The others were stopped [MP061]"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--workers", "0", "x.py"], "--workers must be a whole number above 0, not '0'"),
        (["--workers=two", "x.py"], "--workers must be a whole number above 0, not 'two'"),
        (["--workers", "2", "--servers", "-1", "x.py"], "--servers must be a whole number above 0, not '-1'"),
        (["--servers", "2", "x.py"], "need --workers N"),
        (["--workers", "2", "--timeout", "0", "x.py"], "--timeout must be a number of seconds above 0"),
        (["--workers", "2", "--address", "10.0.0.1", "x.py"], "--address is for --hosts"),
        (["--workers", "2", "--hosts", "none", "x.py"], "--hosts none: No such file or directory"),
        (["--workers", "2", "none.py"], "no such file"),
        (["--workers", "2", "-"], "standard input can be read only once"),
        (["--workers", "2", "--polcy", "auto", "x.py"], "unrecognized arguments: --polcy"),
    ],
)
def test_wrong_options_start_nothing(words, text, tmp_path, monkeypatch, capsys):
    """One line, and status 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.py").write_text("raise SystemExit('it was started')")
    assert cli.main(["run", *words]) == 2
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1 and "it was started" not in said


def test_the_file_of_hosts(tmp_path, monkeypatch):
    """Slots, settings, comments; it goes round."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hosts"
    file.write_text("# machines\none slots=2\n\nme@two python='/opt/my python' dir=/data  # the big one\n")
    found = hosts.read(str(file), 4)
    assert [host.name for host in found] == ["one", "one", "me@two", "one"]
    assert (found[0].python, found[0].folder) == (sys.executable, str(tmp_path))
    assert found[2].address == "two"
    assert found[2].command()[-2:] == [
        "me@two",
        "cd /data && exec '/opt/my python' -m minpy.distributed.remote",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no host"),
        ("one\ntwo slot=2", "line 2: a line is a host"),
        ("-oProxyCommand=x", "line 1: a line is a host"),
        ("one slots=0", "slots must be a number above 0"),
        ("one 'x", "line 1: No closing quotation"),
    ],
)
def test_wrong_lines_of_hosts_are_named(text, said, tmp_path):
    """With their number."""
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(hosts.UsageError, match=re.escape(said)):
        hosts.read(str(tmp_path / "hosts"), 2)


def test_frames_come_in_any_pieces():
    """What a worker on another machine writes is put together again."""
    data = frame(b"o", b"some\noutput") + frame(b"e", b"") + frame(b"x", b"-9")
    for size in (1, 2, 7, len(data)):
        frames, found = Frames(), []
        for start in range(0, len(data), size):
            found += frames.feed(data[start : start + size])
        assert found == [("o", b"some\noutput"), ("e", b""), ("x", b"-9")]
