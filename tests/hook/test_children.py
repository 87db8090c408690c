"""Child processes have the hook; without the variable, or with a bad one, they are plain Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

USER = "import numpy as np\ndef f(x):\n    return np.exp(x)\n"

ROOT = Path(__file__).resolve().parents[2]
# Whether a function is rewritten, without the door's name in the text (which would switch rewriting off).
IS = "'__min' + 'py__' in {}.__code__.co_names"

PARENT = f"""
import json, multiprocessing, subprocess, sys
import numpy as np
import minpy, user_mod

@minpy.accelerate
def fast(x):
    return np.exp(x)

def work(x):
    return np.exp(x)

def report(x):
    rewritten = {IS.format("work")}, {IS.format("user_mod.f")}, {IS.format("fast")}
    return __name__, *rewritten, work(x) + fast(x), sys.argv[1:]

def run(*args):
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr

if __name__ == "__main__":
    out = {{"main": report(0)}}
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            out[method] = pool.map(report, [0])[0]
    from joblib import Parallel, delayed
    out["joblib"] = Parallel(n_jobs=2)(delayed(report)(x) for x in (0, 0))[0]
    out["script"] = run("child.py", "a", "b")
    out["module"] = run("-m", "pkg", "a")
    out["code"] = run("-c", "import user_mod; print({IS.format("user_mod.f")})")
    out["folder"] = run("pkg", "a")
    out["isolated"] = run("-I", "child.py")
    print(json.dumps(out))
"""
CHILD = f"""
import sys
import numpy as np
def g(x):
    return np.exp(x)
print(__name__, {IS.format("g")}, *sys.argv[1:])
"""
PROJECT = {
    "parent.py": PARENT,
    "child.py": CHILD,
    "user_mod.py": USER,
    "pkg/__init__.py": "",
    "pkg/__main__.py": CHILD,
}


@pytest.mark.parametrize("active", [True, False])
def test_children_of_every_kind(write, python, tmp_path: Path, active: bool) -> None:
    folder = write(tmp_path / "p", PROJECT)
    done = python("parent.py", "x", cwd=folder, MINPY_ACTIVE="1" if active else "", MINPY_STRICT="1")
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["main"] == out["fork"] == ["__main__", active, active, True, 2.0, ["x"]]
    assert out["spawn"] == out["forkserver"] == ["__mp_main__", active, active, True, 2.0, ["x"]]
    assert out["joblib"][1:5] == [active, active, True, 2.0], "functions of __main__ travel by value there"
    assert out["script"] == f"__main__ {active} a b"
    assert out["module"] == out["folder"] == f"__main__ {active} a"
    assert out["code"] == str(active)
    # -I ignores PYTHONPATH, by which these tests make minpy known: a child without minpy is plain Python.
    assert out["isolated"].startswith("__main__ ")
    assert done.stderr == ""


PROBE = f"""
import sys, os, signal
import numpy as np
import atexit

class Noisy:
    def __del__(self): print("deleted", callable(np.exp) if np else None)

def g(x):
    return np.exp(x)

def leave():
    print("atexit", sys.modules["__main__"].g is g, keep is not None)

keep = Noisy()
atexit.register(leave)
main = sys.modules["__main__"]
print(sorted(vars()), __name__, __file__, __spec__, __package__, type(__loader__).__name__, main.g is g)
print(sys.argv, sys.path, [repr(hook)[:12] for hook in sys.path_hooks], __file__ in sys.path_importer_cache)
print({IS.format("g")}, file=sys.stderr)
how = sys.argv[-1]
if how == "raise":
    g(np.ones(2) +
      np.linalg.inv(np.zeros((2, 2)))[0])
if how == "exit": sys.exit(7)
if how == "text": sys.exit("bye")
if how == "interrupt": os.kill(os.getpid(), signal.SIGINT)
if how == "kill": os.kill(os.getpid(), signal.SIGTERM)
if how == "os": sys.stdout.flush(); os._exit(9)
"""


def test_a_script_taken_over_sees_and_ends_what_it_would_without_us(write, python, tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"sub/probe.py": PROBE, "odd name é": PROBE})
    cases = [["sub/probe.py", how] for how in ("end", "raise", "exit", "text", "interrupt", "kill", "os")]
    cases += [[str(folder / "sub" / "probe.py")], ["./sub/../sub/probe.py"], ["odd name é", "raise"]]
    if sys.version_info >= (3, 11):
        cases.append(["-P", "sub/probe.py"])
    for case in cases:
        results = []
        for active in ("", "1"):
            done = python("-W", "error", *case, cwd=folder, MINPY_ACTIVE=active)
            first, _, rest = done.stderr.partition("\n")
            assert first == str(bool(active)), done.stderr
            results.append((done.returncode, done.stdout, rest))
        assert results[0] == results[1], case


def test_scripts_that_are_not_taken_over_are_plain_pythons(write, python, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p",
        {
            "bad.py": "import numpy as np\nx = (1,\n",
            "none.py": "import sys; print(sys._getframe().f_back, __spec__)\n",
            "off.py": "# minpy: off\nimport numpy as np, sys\nnp.exp(0); print(sys._getframe().f_back)\n",
            "excluded.py": "import numpy as np, sys\nnp.exp(0); print(sys._getframe().f_back)\n",
        },
    )
    (folder / "nul.py").write_bytes(b"import numpy as np\nx = '\0'\n")
    with zipfile.ZipFile(folder / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "import numpy as np, sys\nprint(np.exp(0), __spec__, sys.path[0])\n")
    for script in ("bad.py", "none.py", "off.py", "excluded.py", "missing.py", "nul.py", "app.zip"):
        plain, active = (
            python(script, cwd=folder, MINPY_ACTIVE=value, MINPY_EXCLUDE="excluded.py") for value in ("", "1")
        )
        assert (plain.returncode, plain.stdout, plain.stderr) == (
            active.returncode,
            active.stdout,
            active.stderr,
        )
    piped = python("-", cwd=folder, MINPY_ACTIVE="1")
    assert piped.returncode == 0 and piped.stderr == ""


def test_strict_stops_a_child_whose_script_cannot_be_rewritten(write, python, tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"child.py": CHILD})
    broken = write(tmp_path / "broken", {"libcst/__init__.py": "raise ImportError('broken on purpose')\n"})
    path = os.pathsep.join([str(broken), str(tmp_path / "start"), str(ROOT)])
    environ = {**os.environ, "MINPY_ACTIVE": "1", "PYTHONPATH": path}
    python("-c", "pass")  # writes the start-up folder
    for strict, status in (("", 0), ("1", 2)):
        done = subprocess.run(
            [sys.executable, "child.py"],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**environ, "MINPY_STRICT": strict},
        )
        assert done.returncode == status
        assert "broken on purpose" in done.stderr
        assert ("RewriteWarning" in done.stderr) == (not strict)
        assert done.stdout == ("" if strict else "__main__ False\n")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MINPY_POLICY", "nonsense"),
        ("MINPY_THREADS", "many"),
        ("MINPY_CONTEXT", "tpu"),
    ],
)
def test_a_bad_variable_never_breaks_a_python_start(python, variable: str, value: str) -> None:
    done = python("-c", "print('alive')", MINPY_ACTIVE="1", **{variable: value})
    assert (done.returncode, done.stdout) == (0, "alive\n")
    assert (
        done.stderr.count("\n") == 1
        and done.stderr.startswith("minpy: not active in ")
        and value in done.stderr
    )


def test_a_broken_minpy_never_breaks_a_python_start(write, tmp_path: Path) -> None:
    start = write(
        tmp_path / "start",
        {
            "sitecustomize.py": f"import site; site.addsitedir({str(tmp_path / 'start')!r})",
            "zz.pth": (ROOT / "minpy" / "startup.pth").read_text(),
            "minpy/__init__.py": "",
            "minpy/startup.py": "raise RuntimeError('half removed')",
        },
    )
    for active in ("", "1"):
        done = subprocess.run(
            [sys.executable, "-c", "import sys; print('minpy' in sys.modules)"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "MINPY_ACTIVE": active, "PYTHONPATH": str(start)},
        )
        assert (done.returncode, done.stdout) == (0, f"{bool(active)}\n")
        # A set: where minpy is installed for this Python, its start-up file meets the broken one too.
        said = "minpy: not active in this process: RuntimeError('half removed')"
        assert set(done.stderr.splitlines()) == ({said} if active else set())


def test_the_startup_file_is_one_line_that_site_accepts() -> None:
    text = (ROOT / "minpy" / "startup.pth").read_text()
    assert text.startswith("import ") and text.count("\n") == 1 and text.endswith("\n")


def test_a_warm_child_imports_neither_libcst_nor_mxnet(write, python, tmp_path: Path) -> None:
    script = (
        CHILD + "print([m for m in ('libcst', 'mxnet', 'astunparse', 'platformdirs') if m in sys.modules])\n"
    )
    folder = write(
        tmp_path / "p", {"child.py": "import user_mod\n" + script, "user_mod.py": USER, "empty.py": "x = 1"}
    )
    cold, warm = (python("child.py", cwd=folder, MINPY_ACTIVE="1").stdout.split("\n") for _ in range(2))
    assert cold[0] == warm[0] == "__main__ True"
    assert "libcst" in cold[1]
    assert warm[1] == "[]"
    idle = python(
        "-c",
        "import sys; print([m for m in ('numpy', 'libcst', 'mxnet') if m in sys.modules])",
        MINPY_ACTIVE="1",
    )
    assert idle.stdout == "[]\n", "a child that computes nothing loads nothing"


def test_install_reaches_children_too(write, python, tmp_path: Path) -> None:
    program = f"""
import subprocess, sys, minpy
if __name__ == "__main__":
    with minpy.install(exclude="other_mod"):
        code = "import user_mod as a, other_mod as b; print({IS.format("a.f")}, {IS.format("b.f")})"
        args = [sys.executable, "-c", code]
        inside = subprocess.run(args, capture_output=True, text=True).stdout
    outside = subprocess.run(args, capture_output=True, text=True).stdout
    print(inside, outside)
"""
    folder = write(tmp_path / "p", {"prog.py": program, "user_mod.py": USER, "other_mod.py": USER})
    assert python("prog.py", cwd=folder).stdout.split() == ["True", "False", "False", "False"]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_kills_a_child_that_was_taken_over(write, python, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p",
        {"child.py": "import numpy as np, time\nnp.exp(0)\nprint('ready', flush=True)\ntime.sleep(60)\n"},
    )
    python("-c", "pass")
    path = os.pathsep.join([str(tmp_path / "start"), str(ROOT)])
    child = subprocess.Popen(
        [sys.executable, "child.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MINPY_ACTIVE": "1", "PYTHONPATH": path},
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT
    assert error.endswith("KeyboardInterrupt\n") and error.count('File "') == 1
