"""A program started by ``minpy run`` sees what it sees under ``python``, however it is started."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from cli_starting import ROOT, Bench, Outcome

PROBE = (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")


def without(name):
    def change(seen):
        del seen[name]

    return change


def recursion_limit(seen):
    # Larger by what lies below the program; "reach", the depth that the program gets to, is compared.
    assert 1000 <= seen.pop("recursion limit") < 1040


def finder(seen):
    seen["meta_path"] = [entry for entry in seen["meta_path"] if entry != "_Finder"]


def loader_type(seen):
    seen["loader's type"] = seen["loader's type"].replace(
        "minpy.transform.hook.MinPyLoader", "_frozen_importlib_external.SourceFileLoader"
    )


def variables(seen):
    # Children inherit the hook by them; documented.
    seen["environ"] = {key: value for key, value in seen["environ"].items() if key not in ("MINPY_ACTIVE",)}


# Everything that may differ, and nothing else.
ALLOWED = {
    "sys.orig_argv names minpy": without("orig_argv"),
    "sys.getrecursionlimit() is larger by the frames of the runner": recursion_limit,
    "sys.meta_path has MinPy's finders": finder,
    "the loader of a main module that is imported (-m) is MinPy's": loader_type,
    "os.environ has MINPY_ACTIVE": variables,
}


def seen_by(outcome: Outcome) -> dict:
    assert outcome.status == 0, outcome.error
    assert outcome.err == b""
    (line,) = [line for line in outcome.text.splitlines() if line.startswith("PROBE")]
    seen = json.loads(line.removeprefix("PROBE"))
    for allow in ALLOWED.values():
        allow(seen)
    return seen


def compare(bench: Bench, *words: str, **how) -> dict:
    plain, ours = bench.both(*words, **how)
    expected = seen_by(plain)
    assert seen_by(ours) == expected
    return expected


def archive(bench: Bench, name: str, **files: str) -> str:
    with zipfile.ZipFile(bench.folder / name, "w") as target:
        for file, text in files.items():
            target.writestr(file.replace("__SLASH__", "/") + ".py", text)
    return name


def compiled(bench: Bench, name: str) -> str:
    source = bench.write("source.py", PROBE)
    py_compile.compile(str(source), cfile=str(bench.folder / name), doraise=True)
    return name


def link(bench: Bench, name: str, target: str) -> str:
    (bench.folder / name).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, bench.folder / name)
    return name


# Each prepares a folder and returns the words after `python` or `minpy run`.
WAYS = {
    "relative": lambda b: [
        str(b.write("program.py", PROBE).name),
        "a",
        "-b",
        "--policy",
        "nonsense",
        "--",
        "-m",
    ],
    "dot-slash": lambda b: ["./" + b.write("program.py", PROBE).name],
    "in a folder": lambda b: [str(b.write("some/program.py", PROBE).relative_to(b.folder))],
    "up and down": lambda b: [
        "some/../" + b.write("program.py", PROBE).name,
        *b.write("some/x", "").parts[:0],
    ],
    "absolute": lambda b: [str(b.write("program.py", PROBE)), "", " ", "é", "\udcff"],
    "no suffix": lambda b: [b.write("program", PROBE).name],
    "another suffix": lambda b: [b.write("program.txt", PROBE).name],
    "odd name": lambda b: [b.write("a b 'ü\n日本.py", PROBE).name],
    "undecodable name": lambda b: [b.write("caf\udce9.py", PROBE).name],
    "like an option": lambda b: ["./" + b.write("-m", PROBE).name],
    "link": lambda b: [b.write("real/program.py", PROBE) and link(b, "link.py", "real/program.py")],
    "link to link": lambda b: [
        b.write("real/program.py", PROBE)
        and link(b, "one/link.py", "../real/program.py")
        and link(b, "link.py", "one/link.py")
    ],
    "link to the folder": lambda b: [
        b.write("real/program.py", PROBE) and link(b, "linked", "real") + "/program.py"
    ],
    "byte-order mark": lambda b: [b.write("program.py", b"\xef\xbb\xbf" + PROBE.encode()).name],
    "encoding cookie": lambda b: [b.write("p.py", f"# coding: latin-1\n{PROBE}# é".encode("latin-1")).name],
    "windows lines": lambda b: [b.write("program.py", PROBE.replace("\n", "\r\n")).name],
    "no last newline": lambda b: [b.write("program.py", PROBE.rstrip()).name],
    "bytecode": lambda b: [compiled(b, "program.pyc"), "x"],
    "bytecode by content": lambda b: [compiled(b, "program")],
    "folder": lambda b: [b.write("app/__main__.py", PROBE).parent.name, "x"],
    "folder and slash": lambda b: [b.write("app/__main__.py", PROBE).parent.name + "/", "x"],
    "here": lambda b: [b.write("__main__.py", PROBE) and "."],
    "zip": lambda b: [archive(b, "app.zip", __main__=PROBE), "x", "--strict"],
    "zip of another name": lambda b: [archive(b, "app", __main__=PROBE)],
    "-m module": lambda b: ["-m", b.write("program.py", PROBE).stem, "a", "-m", "b"],
    "-mmodule": lambda b: ["-m" + b.write("program.py", PROBE).stem, "a"],
    "-m package": lambda b: [
        "-m",
        b.write("pkg/__init__.py", "") and b.write("pkg/__main__.py", PROBE).parent.name,
    ],
    "-m package.module": lambda b: [
        "-m",
        b.write("p/q/__init__.py", "") and b.write("p/q/r.py", PROBE) and "p.q.r",
        "x",
    ],
    "-m namespace.module": lambda b: ["-m", b.write("space/r.py", PROBE) and "space.r"],
    "-m, whose package reads argv": lambda b: [
        "-m",
        b.write("p/__init__.py", "import sys\nprint(sys.argv)\n") and b.write("p/r.py", PROBE) and "p.r",
        "x",
    ],
    "-m in a zip on the path": lambda b: ["-m", archive(b, "z.zip", tool=PROBE) and "tool"],
    "-c": lambda b: ["-c", PROBE, "a", "-c", "b"],
    "-cprogram": lambda b: ["-c" + PROBE],
}


@pytest.mark.parametrize("way", WAYS)
def test_ways(bench, way):
    words = WAYS[way](bench)
    if "zip on the path" in way:
        bench.environ["PYTHONPATH"] += os.pathsep + str(bench.folder / "z.zip")
    seen = compare(bench, *words, stdin=b"left for the program\n")
    assert seen["rest of stdin"] == "left for the program\n"
    assert seen["name"] == "__main__"
    assert seen["pickled"] == [True, True]


@pytest.mark.parametrize(
    "words", [["-"], ["-", "a", "-b"], []], ids=["dash", "dash and arguments", "nothing"]
)
def test_program_on_standard_input(bench, words):
    compare(bench, *words, stdin=PROBE.encode())


def test_program_on_standard_input_before_the_terminator(bench):
    """``--`` ends our options; what is left decides."""
    program = bench.write("-x.py", "import sys; print(sys.argv)")
    assert bench.minpy("run", "--strict", "--", program.name, "--", "y").text == "['-x.py', '--', 'y']\n"
    assert bench.minpy("run", "--", stdin=b"print(7)").text == "7\n"


def test_device_files(bench):
    compare(bench, "/dev/stdin", "x", stdin=PROBE.encode())


def test_fifo(bench):
    program = PROBE.replace("inspect.getsource(depth)", "''")  # it would open the pipe once more

    def start(command):
        os.mkfifo(bench.folder / "pipe")
        writer = threading.Thread(target=(bench.folder / "pipe").write_text, args=(program,))
        writer.start()
        try:
            return bench.start(command)
        finally:
            writer.join()
            os.unlink(bench.folder / "pipe")

    plain = seen_by(start([sys.executable, "pipe", "x"]))
    assert seen_by(start([sys.executable, "-m", "minpy", "run", "pipe", "x"])) == plain


FLAGS = {
    "-O": ["-O"],
    "-OO": ["-OO"],
    "-B": ["-B"],
    "-s": ["-s"],
    "-u": ["-u"],
    "-b -X dev": ["-b", "-X", "dev"],
    "-X utf8": ["-X", "utf8", "-X", "anything=1"],
    "-W error": ["-W", "error"],
    "-W several": ["-W", "ignore::UserWarning", "-W", "default:message"],
}
if sys.version_info >= (3, 11):
    FLAGS["-P"] = ["-P"]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("way", ["relative", "-m module", "folder"])
def test_flags_of_python(bench, flags, way):
    bench.environ["PYTHONPATH"] += os.pathsep + str(bench.folder)  # under -P the only way to a module there
    compare(bench, *WAYS[way](bench), flags=tuple(FLAGS[flags]))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH is new in Python 3.11")
@pytest.mark.parametrize("way", ["relative", "-c", "folder"])
def test_safe_path_from_the_environment(bench, way):
    seen = compare(bench, *WAYS[way](bench), PYTHONSAFEPATH="1")
    assert "" not in seen["path"] and str(bench.folder) not in seen["path"]


@pytest.mark.parametrize("way", ["relative", "-c", "folder"])
def test_isolated(bench, way):
    # -I ignores PYTHONPATH, so that minpy has to come from elsewhere: the end of the path, cut off again.
    door = bench.write(
        "door.py",
        f"import sys\n{ROOT!r} in sys.path or sys.path.append({ROOT!r})\n"
        "from minpy.cli import main\nsys.exit(main())",
    )
    words = WAYS[way](bench)
    plain = seen_by(bench.python(*words, flags=("-I",)))
    ours = seen_by(bench.python(str(door), "run", *words, flags=("-I",)))
    if ours["path"][-1] == ROOT and plain["path"][-1] != ROOT:
        ours["path"].pop()
    assert ours == plain


def test_started_by_the_console_script(bench):
    door = bench.write(
        "bin/minpy",
        "import sys\nfrom minpy.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n",
    )
    for way in ("relative", "-m module", "-c", "zip"):
        words = WAYS[way](bench)
        assert seen_by(bench.python(str(door), "run", *words)) == seen_by(bench.python(*words)), way


def test_nested(bench):
    """A program that starts ``minpy run`` again, and one that runs under an inherited hook."""
    words = WAYS["relative"](bench)
    command = f"[sys.executable, '-m', 'minpy', 'run', *{words!r}]"
    inner = f"import subprocess, sys; sys.exit(subprocess.call({command}))"
    assert seen_by(bench.minpy("run", "-c", inner)) == seen_by(bench.python(*words))


def test_multiprocessing(bench):
    """spawn imports the main module again, by its file or by its name."""
    text = """
import multiprocessing, os, sys
def work(n):
    return n * n, __name__, os.path.basename(__file__)
if __name__ == "__main__":
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(work, [2, 3]))
"""
    bench.write("pkg/__init__.py", "")
    bench.write("pkg/program.py", text)
    for words in (["pkg/program.py"], ["-m", "pkg.program"]):
        plain, ours = bench.both(*words)
        assert (ours.status, ours.out, ours.err) == (plain.status, plain.out, plain.err), words
        assert plain.status == 0 and b"spawn [(4," in plain.out


def test_breakpoint(bench):
    """pdb stops on the program's own line, shows its source, and steps."""
    bench.write("program.py", "def f(x):\n    y = x + 1\n    breakpoint()\n    return y\n\nprint(f(1))\n")
    commands = b"p y\nlist\nnext\nup\np __name__\ncontinue\n"
    plain, ours = bench.both("program.py", stdin=commands)
    assert ours.text.replace(str(bench.folder), "") == plain.text.replace(str(bench.folder), "")
    assert "return y" in plain.text


def test_interrupted_from_outside(bench):
    """Ctrl-C in a terminal: the process dies by the signal, so that shells see status 130."""
    bench.write(
        "program.py",
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nfinally:\n    print('x')\n",
    )
    results = []
    for words in (["program.py"], ["-m", "minpy", "run", "program.py"]):
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=bench.folder,
            env=bench.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.5)  # until it sleeps: which line is interrupted is part of the comparison
        child.send_signal(2)
        out, err = child.communicate(timeout=60)
        results.append((child.returncode, out, err))
    assert results[1] == results[0]
    assert results[0][0] == -2
    shell = "\"$0\" -m minpy run -c 'import os, time; os.kill(os.getpid(), 2); time.sleep(9)'; echo $?"
    assert bench.start(["bash", "-c", shell, sys.executable]).text.splitlines()[-1] == "130"


def test_broken_pipe(bench):
    bench.write("program.py", "for i in range(200000):\n    print(i)\n")
    texts = []
    for words in ("program.py", "-m minpy run program.py"):
        command = f"set -o pipefail; '{sys.executable}' {words} | head -n 1; echo ${{PIPESTATUS[0]}}"
        texts.append(bench.start(["bash", "-c", command]))
    assert texts[1].out == texts[0].out
    assert texts[1].err == texts[0].err
    assert b"BrokenPipeError" in texts[0].err


def test_closed_streams(bench):
    bench.write(
        "program.py", "import sys\nopen('seen', 'w').write(repr([sys.stdin, sys.stdout, sys.stderr]))\n"
    )
    seen = []
    for words in ("program.py", "-m minpy run program.py"):
        bench.start(["bash", "-c", f"'{sys.executable}' {words} <&- >&- 2>&-"])
        seen.append((bench.folder / "seen").read_text())
    assert seen == ["[None, None, None]"] * 2
