"""``python -m minpy.rewrite``: what is written, byte for byte, and what is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from minpy import rewrite

PROGRAM = """\
#!/usr/bin/env python
# a comment
import numpy as np

def f(x):
    return np.exp(x) * 2   # kept

if __name__ == "__main__":
    print(f(0.0), type(f(0.0)))
"""
NEW = (
    PROGRAM.replace("import numpy as np", "import numpy as np; from minpy import routed")
    .replace("return np.exp", "return routed.np.exp")
    .replace("type(f", "routed.type(f")
)


@pytest.fixture
def run(tmp_path, monkeypatch, capfdbinary):
    """Run the command in a folder of its own; gives the status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        status = rewrite.main(list(args))
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return call


def bad(result: tuple[int, bytes, str], *words: str) -> None:
    status, out, err = result
    assert status == 2 and out == b""
    assert err.startswith("minpy: error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_file_goes_to_standard_output(run) -> None:
    Path("p.py").write_text(PROGRAM)
    assert run("p.py") == (0, NEW.encode(), "")
    assert Path("p.py").read_text() == PROGRAM and os.listdir() == ["p.py"]


def test_the_written_program_prints_the_same_under_plain_python(run) -> None:
    Path("p.py").write_text(PROGRAM)
    assert run("p.py", "--operators", "-o", "ops.py")[0] == 0
    assert "routed.op.mul(" in Path("ops.py").read_text()
    assert run("p.py", "-o", "new.py") == (0, b"", "")
    root = str(Path(rewrite.__file__).parents[1])
    script = (
        "import runpy; [runpy.run_path(name, run_name='__main__') for name in ('p.py', 'new.py', 'ops.py')]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.stdout == "2.0 <class 'numpy.float64'>\n" * 3, done.stderr


@pytest.mark.parametrize(
    "data",
    [
        "# -*- coding: latin-1 -*-\nimport numpy as np\ns = 'é'\nx = np.exp(0)\n".encode("latin-1"),
        b"\xef\xbb\xbfimport numpy as np\nx = np.exp(0)  # \xc3\xa9\n",
        b"import numpy as np\r\nx = np.exp(0)\r\n\r\ns = 'a'\r\n",
        b"import numpy as np\nx = np.exp(0)",
        b"import numpy as np\n\x0c\nif 1:\n\tx = np.exp(0)  \n\n\n",
        b"# coding: cp1252\nimport numpy as np\r\ns = '\x80'\nx = np.exp(0)\r\n",
        b"import numpy as np\ns = '''\x0b\x1c\xe2\x80\xa8'''\nx = np.exp(0)\n",
    ],
)
def test_what_is_not_rewritten_stays_byte_for_byte(run, data: bytes) -> None:
    Path("p.py").write_bytes(data)
    expected = data.replace(b"numpy as np", b"numpy as np; from minpy import routed").replace(
        b"= np.", b"= routed.np."
    )
    assert run("p.py") == (0, expected, "")
    assert run("p.py", "--in-place") == (0, b"", "")
    assert Path("p.py").read_bytes() == expected


def test_nothing_to_rewrite_gives_an_identical_copy(run) -> None:
    for data in (
        b"",
        b"x = 1",
        b"import numpy as np\r\ny = np.pi\n",
        b"# minpy: off\nimport numpy as np\nnp.exp(1)\n",
    ):
        Path("p.py").write_bytes(data)
        assert run("p.py") == (0, data, "")
        assert run("p.py", "--diff") == (0, b"", "")
        assert run("p.py", "-o", "copy.py") == (0, b"", "")
        assert Path("copy.py").read_bytes() == data


@pytest.mark.skipif(shutil.which("git") is None, reason="git applies the diff")
def test_a_diff_can_be_applied(run) -> None:
    texts = {
        "p.py": PROGRAM.encode(),
        "q.py": b"import numpy as np\r\ns = '\x0c'\r\nx = np.exp(0)",
        "r.py": b"x = 1\n",
    }
    Path("d").mkdir()
    for name, data in texts.items():
        (Path("d") / name).write_bytes(data)
    status, diff, err = run("d", "--diff")
    assert (status, err) == (0, "")
    assert b"--- d/p.py\n+++ d/p.py\n" in diff and b"r.py" not in diff
    assert diff.count(b"\\ No newline at end of file\n") == 2
    assert {name: (Path("d") / name).read_bytes() for name in texts} == texts
    wanted = {name: run(f"d/{name}")[1] for name in texts}
    done = subprocess.run(["git", "apply", "-p0", "-"], input=diff, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert {name: (Path("d") / name).read_bytes() for name in texts} == wanted


def test_explain_names_every_edit_and_what_was_left_alone(run) -> None:
    Path("p.py").write_bytes(b"import numpy as np\r\nx = 'e'; y = np.exp(0)\r\n")
    Path("off.py").write_text("# minpy: off\nimport numpy as np\nnp.exp(0)\n")
    status, out, err = run("p.py", "--explain")
    lines = out.decode().splitlines()
    assert (status, err, len(lines)) == (0, "", 2)
    assert lines[0].startswith("p.py:1:19: insert `; from minpy import routed`  (")
    assert lines[1].startswith("p.py:2:14: `np` -> `routed.np`  (")
    assert run("off.py", "--explain")[1].startswith(b"off.py: left alone: the comment '# minpy: off'")
    status, out, _ = run(".", "--explain", "--operators")
    assert status == 0 and b"off.py: left alone" in out and b"p.py:2:14:" in out


def test_explain_with_a_tree(run) -> None:
    Path("p.py").write_text("import numpy as np\nx = np.exp(0)[1:2, 3:4]\n")
    status, out, err = run("p.py", "--explain", "--tree")
    assert (status, err) == (0, "")
    assert b"Module(" in out and b"attr='exp'" in out and b"id='routed'" in out


def test_explain_goes_with_writing(run) -> None:
    Path("p.py").write_text(PROGRAM)
    status, out, _ = run("p.py", "--explain", "-o", "new.py")
    assert status == 0 and b"p.py:6:12:" in out and Path("new.py").read_text() == NEW


def test_mode_bits_are_kept_and_links_are_written_through(run) -> None:
    Path("p.py").write_text(PROGRAM)
    os.chmod("p.py", 0o751)
    os.symlink("p.py", "link.py")
    assert run("p.py", "-o", "new.py")[0] == 0
    assert run("link.py", "--in-place")[0] == 0
    assert os.path.islink("link.py") and Path("p.py").read_text() == NEW
    for name in ("p.py", "new.py"):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o751
    assert sorted(os.listdir()) == ["link.py", "new.py", "p.py"], "nothing temporary is left"


# ----------------------------------------------------------------------------------------------------
# Folders


def make_folder() -> dict[str, bytes]:
    files = {
        "main.py": PROGRAM.encode(),
        "pkg/__init__.py": b"",
        "pkg/mod.py": b"from numpy import exp\nx = exp(0)\n",
        "pkg/gui.pyw": b"import numpy\nx = numpy.exp(0)\n",
        "pkg/data.csv": b"np.exp(0)\r\n",
        "py": b"no suffix",
        ".hidden/x.py": b"x = (",
        "__pycache__/main.cpython-311.pyc": b"x",
        "venv/pyvenv.cfg": b"",
        "venv/lib/x.py": b"x = (",
    }
    for name, data in files.items():
        target = Path("src") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return files


def contents(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def test_a_folder_is_written_whole(run) -> None:
    files = make_folder()
    assert run("src", "-o", "out") == (0, b"", "")
    assert contents("src") == files
    out = contents("out")
    assert set(out) == {"main.py", "pkg/__init__.py", "pkg/mod.py", "pkg/gui.pyw", "pkg/data.csv", "py"}
    assert out["main.py"] == NEW.encode()
    assert out["pkg/data.csv"] == files["pkg/data.csv"] and b"routed.np.exp(0)" in out["pkg/mod.py"]
    assert b"routed.np.exp" in out["pkg/gui.pyw"]
    assert stat.S_IMODE(os.stat("out").st_mode) == stat.S_IMODE(os.stat("src").st_mode)
    assert sorted(os.listdir()) == ["out", "src"]


def test_a_folder_in_place_touches_only_what_is_rewritten(run) -> None:
    files = make_folder()
    os.symlink("main.py", "src/linked.py")
    untouched = os.stat("src/pkg/__init__.py").st_ino
    assert run("src", "--in-place") == (0, b"", "")
    now = contents("src")
    assert {name for name in files if now[name] != files[name]} == {"main.py", "pkg/mod.py", "pkg/gui.pyw"}
    assert os.path.islink("src/linked.py") and now["linked.py"] == NEW.encode()
    assert os.stat("src/pkg/__init__.py").st_ino == untouched


def test_one_bad_file_leaves_the_folder_as_it_was(run) -> None:
    make_folder()
    Path("src/zz.py").write_text("import numpy as np\nx = (1,\n")
    files = contents("src")
    for how in (["-o", "out"], ["--in-place"]):
        status, out, err = run("src", *how)
        assert (status, out) == (2, b"")
        assert 'src/zz.py", line 2' in err and err.endswith("SyntaxError: '(' was never closed\n")
        assert contents("src") == files and os.listdir() == ["src"]


def test_a_failing_write_leaves_no_half_of_a_folder(run, monkeypatch) -> None:
    make_folder()

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device", "out")

    monkeypatch.setattr(shutil, "copy2", fail)
    bad(run("src", "-o", "out"), "No space left")
    assert os.listdir() == ["src"]


def test_a_folder_needs_to_be_told_where_to(run) -> None:
    make_folder()
    Path("full").mkdir()
    Path("full/x").touch()
    Path("file").touch()
    Path("empty").mkdir()
    os.symlink("src", "same")
    bad(run("src"), "say -o OUT")
    bad(run("src", "-o", "src/out"), "inside src")
    bad(run("src", "-o", "src"), "inside src")
    bad(run("src", "-o", "same/deeper"), "inside src")
    bad(run("src", "-o", "full"), "not empty")
    bad(run("src", "-o", "file"), "not a folder")
    bad(run("src", "-o", "no/such/parent"), "there is no folder")
    bad(run("src", "-o", "."), "not empty")
    assert run("src", "-o", "empty")[0] == 0 and Path("empty/main.py").exists()
    assert run("src", "-o", "src2")[0] == 0, "beside it, though its name begins like it"


# ----------------------------------------------------------------------------------------------------
# Bad input


def test_bad_input_is_one_line_and_status_2(run) -> None:
    Path("p.py").write_text(PROGRAM)
    Path("d").mkdir()
    bad(run("missing.py"), "missing.py")
    bad(run(), "required", "--help")
    bad(run("p.py", "--nonsense"), "--nonsense")
    bad(run("p.py", "--expl"), "--expl")
    bad(run("p.py", "--diff", "--in-place"), "not allowed")
    bad(run("p.py", "--tree"), "--explain")
    bad(run("p.py", "-o", ""), "-o")
    bad(run("p.py", "-o", "d"), "folder")
    bad(run("p.py", "-o", "p.py"), "--in-place")
    bad(run("p.py", "-o", "no/p.py"), "there is no folder")
    Path("null.py").write_bytes(b"import numpy\0")
    bad(run("null.py"), "null.py", "null bytes") if sys.version_info < (3, 12) else None
    assert Path("p.py").read_text() == PROGRAM


def test_a_file_that_cannot_be_read(run, monkeypatch) -> None:
    Path("p.py").write_text(PROGRAM)
    original = open

    def refuse(file: object, *args: object, **options: object) -> object:
        if file == "p.py":
            raise PermissionError(13, "Permission denied", "p.py")
        return original(file, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", refuse)
    bad(run("p.py"), "p.py: Permission denied")


@pytest.mark.parametrize(
    "data",
    [
        b"x = (1,\n",
        b"def f(:\n  pass",
        b"x = '\xff'\n",
        b"# coding: nonsense\n",
        b"  x = 1",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_python_refuses_is_reported_as_python_does(run, data: bytes) -> None:
    Path("p.py").write_bytes(data)
    try:
        compile(data, "p.py", "exec")
    except SyntaxError as error:
        import traceback

        expected = "".join(traceback.format_exception_only(error))
    assert run("p.py", "-o", "out.py") == (2, b"", expected)
    assert os.listdir() == ["p.py"]


def test_a_file_that_cannot_be_rewritten_is_given_as_it_is_with_a_warning(run, monkeypatch) -> None:
    from minpy.errors import RewriteError
    from minpy.transform import rewriter

    def refuse(*args: object, **options: object) -> object:
        raise RewriteError("p.py, line 3: too clever")

    monkeypatch.setattr(rewriter, "plan", refuse)
    Path("p.py").write_text(PROGRAM)
    status, out, err = run("p.py")
    assert (status, out) == (1, PROGRAM.encode())
    assert (
        err.count("\n") == 1
        and err.startswith("minpy: warning: p.py is left as it was: ")
        and "too clever" in err
    )


def test_a_reader_that_leaves_early_is_no_error(tmp_path) -> None:
    (tmp_path / "p.py").write_text("import numpy as np\n" + "x = np.exp(0)\n" + ("#" * 99 + "\n") * 9000)
    root = str(Path(rewrite.__file__).parents[1])
    done = subprocess.run(
        f"{sys.executable} -m minpy.rewrite p.py | head -1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout == "import numpy as np; from minpy import routed\n"
    assert done.stderr == ""
