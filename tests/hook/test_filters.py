"""Which modules are rewritten."""

from __future__ import annotations

import os
import site
import sysconfig
from pathlib import Path

import pytest

from minpy.transform.filters import Filter, library_folders


def test_the_folders_of_the_library_are_those_sysconfig_names() -> None:
    paths = sysconfig.get_paths()
    wanted = {paths[name] for name in ("stdlib", "purelib", "platlib")} | {*site.getsitepackages()}
    for folder in wanted:
        assert os.path.join(os.path.realpath(folder), "x.py").startswith(library_folders())
        assert os.path.join(folder, "x.py").startswith(library_folders())


@pytest.mark.parametrize("module", ["json.decoder", "pytest", "numpy.ma.core", "minpy.transform.hook"])
def test_what_is_not_the_users_is_left_alone(module: str) -> None:
    path = __import__(module, fromlist=["x"]).__file__
    assert Filter().why_not(module, path)


def test_a_user_module_that_shadows_a_library_name_is_the_users(tmp_path: Path) -> None:
    assert not Filter().why_not("statistics", str(tmp_path / "statistics.py"))


def test_a_virtual_environment_inside_the_project_is_not_the_project(tmp_path: Path) -> None:
    inside = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "pkg.py"
    assert Filter().why_not("pkg", str(inside))
    debian = tmp_path / "dist-packages" / "pkg.py"
    assert Filter().why_not("pkg", str(debian))
    assert not Filter().why_not("pkg", str(tmp_path / "my-site-packages" / "pkg.py"))


def test_a_folder_whose_name_begins_like_the_librarys_is_the_users() -> None:
    folder = library_folders()[0].rstrip(os.sep) + "-mine"
    assert not Filter().why_not("x", os.path.join(folder, "x.py"))


def test_an_explicitly_started_script_is_the_users_wherever_it_lies() -> None:
    path = os.path.join(sysconfig.get_paths()["purelib"], "tool.py")
    assert Filter().why_not("tool", path)
    assert not Filter().why_not("__main__", path)
    assert Filter(exclude=["__main__"]).why_not("__main__", path) == "excluded by '__main__'"


def test_include_adds_and_exclude_wins(tmp_path: Path) -> None:
    installed = os.path.join(sysconfig.get_paths()["purelib"], "pkg", "sub.py")
    own = str(tmp_path / "own.py")
    both = Filter(include=["pkg"], exclude=["pkg.sub"])
    assert not Filter(include=["pkg"]).why_not("pkg.sub", installed)
    assert not Filter(include=["pkg"]).why_not("own", own), "include adds to the default set"
    assert both.why_not("pkg.sub", installed) == "excluded by 'pkg.sub'"
    assert not both.why_not("pkg.other", installed)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("pkg", ["pkg", "pkg.a", "pkg.a.b"], ["pkgs", "other.pkg", "pk"]),
        ("pkg.*", ["pkg.a", "pkg.a.b"], ["pkg", "pkga"]),
        ("*.kernels", ["a.kernels", "a.b.kernels"], ["kernels", "a.kernelss"]),
        ("pkg.[ab]", ["pkg.a", "pkg.b"], ["pkg.c"]),
        ("pkg.a", ["pkg.a", "pkg.a.b"], ["pkg", "pkg.ab"]),
    ],
)
def test_patterns_of_names(pattern: str, yes: list[str], no: list[str], tmp_path: Path) -> None:
    chosen = Filter(exclude=[pattern])
    path = str(tmp_path / "x.py")
    assert [name for name in yes + no if chosen.why_not(name, path)] == yes
    assert [name for name in yes + no if chosen.skips_name(name)] == yes


def test_patterns_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    files = ["src/a.py", "src/a_old.py", "src/deep/a.py", "srcs/a.py", "a.py"]

    def out(pattern: str) -> list[str]:
        chosen = Filter(exclude=[pattern])
        return [file for file in files if chosen.why_not("m", str(tmp_path / file))]

    assert out("src/") == out(str(tmp_path / "src")) == ["src/a.py", "src/a_old.py", "src/deep/a.py"]
    assert out("./src") == out("src/")
    assert out("a.py") == ["a.py"]
    assert out("src/*_old.py") == ["src/a_old.py"]
    assert out("src/d*/") == out("src/d*/*.py") == ["src/deep/a.py"]
    assert out("src") == [], "without a separator it is the name of a package"


def test_a_path_pattern_holds_through_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m.py").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    for pattern in ("real", "link"):
        for met in ("real", "link"):
            assert Filter(exclude=[f"{tmp_path}/{pattern}/"]).why_not("m", str(tmp_path / met / "m.py"))


def test_a_pattern_does_not_import_while_the_hook_is_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Filter(exclude=["some*", "src/*.py"])
    monkeypatch.setattr("builtins.__import__", None)
    assert chosen.why_not("something", "/x.py") and not chosen.why_not("other", "/x.py")


@pytest.mark.parametrize("name", ["minpy", "minpy.transform.hook", "numpy", "numpy.linalg", "libcst"])
def test_what_rewriting_stands_on_cannot_be_included(name: str, tmp_path: Path) -> None:
    everything = Filter(include=["*", f"{tmp_path}/"])
    assert everything.why_not(name, str(tmp_path / "x.py"))
    assert everything.skips_name(name)
    assert not everything.why_not("json", str(tmp_path / "x.py"))
