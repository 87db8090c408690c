"""The import hook: what it takes, what it leaves, and that nobody else notices it."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import sys
import threading
import traceback
import types
import warnings
import zipfile
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

import pytest

import minpy
from minpy.errors import RewriteError, RewriteWarning, UsageError
from minpy.options import ACTIVE, Options
from minpy.transform import build, hook, rewriter

USER = """
import numpy as np

def f(x):
    return np.exp(x)
"""


def is_rewritten(function: types.FunctionType) -> bool:
    return hook.DOOR in function.__code__.co_names


def forget(*names: str) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in names:
            del sys.modules[name]
    importlib.invalidate_caches()


def test_an_imported_user_module_is_rewritten_and_works(project) -> None:
    folder = project({"mod.py": USER})
    with minpy.install():
        import mod
    assert is_rewritten(mod.f)
    assert mod.f(0.0) == 1.0, "also when the hook has gone"
    assert not hasattr(mod, hook.DOOR) and hook.DOOR not in vars(mod)
    assert builtins.__minpy__ is minpy.routed  # type: ignore[attr-defined]
    assert os.listdir(folder) == ["mod.py"], "nothing appears beside the user's files"


def test_installed_packages_and_the_standard_library_are_not_rewritten(project, capsys) -> None:
    project({"mod.py": "import colorsys"})
    forget("colorsys")
    with minpy.install(options=Options(verbose=2)):
        import mod
    import colorsys

    assert type(colorsys.__loader__) is SourceFileLoader
    assert type(mod.__loader__) is hook.MinPyLoader
    assert "minpy: left alone colorsys: not user code" in capsys.readouterr().err


def test_plain_python_and_hooked_python_never_see_each_others_bytecode(project) -> None:
    folder = project({"mod.py": USER})
    outcomes = []
    for hooked in (False, True, False, True):
        with minpy.install() if hooked else warnings.catch_warnings():
            import mod
        outcomes.append(is_rewritten(mod.f))
        forget("mod")
    assert outcomes == [False, True, False, True]
    assert [file.suffix for file in (folder / "__pycache__").iterdir()] == [".pyc"]


def test_installing_twice_installs_one_finder_and_one_uninstall_removes_it() -> None:
    minpy.install()
    minpy.install()
    finders = [finder for finder in sys.meta_path if "MinPy" in repr(finder)]
    assert finders == [sys.meta_path[0]]
    assert hook.is_installed()
    minpy.uninstall()
    minpy.uninstall()
    assert not hook.is_installed()
    assert not [finder for finder in sys.meta_path if "MinPy" in repr(finder)]


def test_nested_installations_end_with_their_blocks(project) -> None:
    project({"a.py": USER, "b.py": USER, "c.py": USER})
    with minpy.install(exclude="a") as outer:
        with minpy.install(exclude=["b"]) as inner:
            assert inner.options.exclude == ("a", "b"), "the inner one adds to the outer one"
            import a
            import b
        forget("b")
        import b as again
        import c
    assert not is_rewritten(a.f) and not is_rewritten(b.f)
    assert is_rewritten(again.f) and is_rewritten(c.f)
    assert "uninstalled" in repr(outer)
    inner.uninstall()
    assert not hook.is_installed()


def test_the_hook_goes_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), minpy.install():
        raise ZeroDivisionError
    assert not hook.is_installed() and ACTIVE not in os.environ


def test_bad_options_install_nothing() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        minpy.install(options=Options(policy="nonsense"))
    assert not hook.is_installed() and ACTIVE not in os.environ


def test_the_environment_tells_children_and_is_restored(monkeypatch) -> None:
    monkeypatch.setenv("MINPY_STRICT", "1")
    with minpy.install(exclude=["x", "y"], options=Options(verbose=2)):
        assert os.environ[ACTIVE] == "1"
        assert os.environ["MINPY_EXCLUDE"] == os.pathsep.join("xy")
        assert os.environ["MINPY_VERBOSE"] == "2"
        assert "MINPY_STRICT" not in os.environ, "the options say otherwise"
        with minpy.install(exclude="z"):
            assert os.environ["MINPY_EXCLUDE"] == os.pathsep.join("xyz")
        assert os.environ["MINPY_EXCLUDE"] == os.pathsep.join("xy")
    assert {name: os.environ[name] for name in os.environ if name.startswith("MINPY_")}.keys() == {
        "MINPY_CACHE_DIR",
        "MINPY_STRICT",
    }


def test_children_in_another_folder_are_given_absolute_paths(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with minpy.install(exclude=["rel/", "pkg.sub"], options=Options(exclude=("rel/", "x.py"))) as installed:
        expected = (f"{tmp_path}/rel", f"{tmp_path}/x.py", "pkg.sub")
        assert installed.options.exclude == expected
        assert os.environ["MINPY_EXCLUDE"] == os.pathsep.join(expected)


def test_without_options_the_environment_is_read(project, monkeypatch) -> None:
    project({"mod.py": USER})
    monkeypatch.setenv("MINPY_EXCLUDE", "mod")
    with minpy.install():
        import mod
    assert not is_rewritten(mod.f)


def test_modules_imported_too_early_are_named(project) -> None:
    project({"early.py": USER, "from_import.py": "from numpy import exp", "other.py": "x = 1"})
    import early  # noqa: F401
    import from_import  # noqa: F401
    import other  # noqa: F401

    with pytest.warns(
        RewriteWarning, match="not rewritten: early, from_import; install the hook before"
    ) as caught:
        minpy.install()
    assert caught[0].filename == __file__
    minpy.uninstall()
    with pytest.warns(RewriteWarning, match="early, from_import, other;"):
        minpy.install(include="other")
    minpy.uninstall()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minpy.install(exclude=["early", "from_*"])


def test_looking_for_early_modules_wakes_no_lazy_module(project) -> None:
    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"{name} was asked for")

    sys.modules["lazy_one"] = Lazy("lazy_one")
    sys.modules["no_module"] = object()  # type: ignore[assignment]
    try:
        minpy.install()
    finally:
        del sys.modules["lazy_one"], sys.modules["no_module"]


def facts(module: types.ModuleType) -> dict[str, object]:
    import inspect
    import pkgutil
    from importlib import resources

    spec = module.__spec__
    assert spec is not None and spec.loader is not None and module.__loader__ is spec.loader
    return {
        "names": sorted(vars(module)),
        "package": module.__package__,
        "file": module.__file__,
        "cached": getattr(module, "__cached__", None),
        "spec": (
            spec.name,
            spec.origin,
            spec.cached,
            spec.has_location,
            spec.submodule_search_locations,
            spec.parent,
        ),
        "path": getattr(module, "__path__", None),
        "loader": (spec.loader.name, spec.loader.path, spec.loader.is_package(spec.name)),  # type: ignore[attr-defined]
        "isinstance": isinstance(spec.loader, SourceFileLoader),
        "source": inspect.getsource(module),
        "function": inspect.getsource(module.f),
        "data": pkgutil.get_data("pkg", "data.txt"),
        "resource": (resources.files("pkg") / "data.txt").read_text(),
        "modules": [info.name for info in pkgutil.walk_packages(sys.modules["pkg"].__path__)],
        "repr": repr(module),
    }


PACKAGE = {
    "pkg/__init__.py": "from .a import f as one\nfrom . import b\n" + USER,
    "pkg/a.py": "from . import b\nfrom .sub.deep import f as deep\n" + USER,
    "pkg/b.py": "import pkg.a\n" + USER,
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "from ..sub import __name__ as parent\n" + USER,
    "pkg/data.txt": "data",
}


def test_a_package_looks_as_it_does_without_the_hook(project) -> None:
    project(PACKAGE)
    seen = []
    for hooked in (False, True):
        forget("pkg")
        with minpy.install() if hooked else warnings.catch_warnings():
            import pkg.a
        seen.append([facts(sys.modules[name]) for name in ("pkg", "pkg.a", "pkg.b", "pkg.sub.deep")])
        assert is_rewritten(pkg.one) == is_rewritten(pkg.a.deep) == is_rewritten(pkg.b.f) == hooked
    assert seen[0] == seen[1]


def test_reload_keeps_the_module_and_rewrites_the_new_text(project) -> None:
    folder = project({"mod.py": USER})
    with minpy.install():
        import mod

        before = mod
        (folder / "mod.py").write_text(USER.replace("np.exp", "np.sin"))
        assert importlib.reload(mod) is before
        assert is_rewritten(mod.f) and mod.f(0.0) == 0.0
    (folder / "mod.py").write_text(USER.replace("np.exp", "np.cos"))
    os.utime(folder / "mod.py", (1, 1))
    importlib.reload(mod)
    assert not is_rewritten(mod.f) and mod.f(0.0) == 1.0, "reloaded without the hook it is plain again"


def test_an_edit_of_the_same_size_in_the_same_second_is_seen(project) -> None:
    folder = project({"mod.py": USER})
    with minpy.install():
        for name, value in (("exp", 1.0), ("sin", 0.0), ("cos", 1.0), ("tan", 0.0)):
            (folder / "mod.py").write_text(USER.replace("exp", name))
            os.utime(folder / "mod.py", (1_000_000, 1_000_000))
            forget("mod")
            import mod

            assert mod.f(0.0) == value


def test_touching_a_file_does_not_rewrite_it_again(project, capsys) -> None:
    folder = project({"mod.py": USER, "plain.py": "x = 1\n"})
    lines = []
    with minpy.install(options=Options(verbose=1, fuse="off")):
        for _ in range(2):
            forget("mod", "plain")
            import mod  # noqa: F401
            import plain  # noqa: F401

            lines.append(capsys.readouterr().err.splitlines())
            os.utime(folder / "mod.py", (2_000_000, 2_000_000))
    assert lines[0][0].startswith("minpy: rewrote mod (1 edit) in ") and lines[0][0].endswith(" ms")
    assert lines[1][0] == "minpy: mod from cache (1 edit)"
    assert lines[0][1] == lines[1][1] and lines[0][1].startswith("minpy: left alone plain: ")


def test_an_uncached_run_says_why_only_when_asked(project, capsys, monkeypatch, tmp_path) -> None:
    project({"mod.py": USER})
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "blocked"))
    for verbose in (0, 1):
        forget("mod")
        with minpy.install(options=Options(verbose=verbose)):
            import mod
        assert is_rewritten(mod.f)
        error = capsys.readouterr().err
        assert ("not cached: " in error) == bool(verbose)
        assert bool(error) == bool(verbose)


def test_a_missing_stderr_is_no_reason_to_fail(project, monkeypatch) -> None:
    project({"mod.py": USER})
    monkeypatch.setattr(sys, "stderr", None)
    with minpy.install(options=Options(verbose=2)):
        import mod
    assert is_rewritten(mod.f)


def test_symbolic_links_and_odd_names(project, tmp_path) -> None:
    folder = project({"mod.py": USER, "größe 中/inner_mod.py": USER})
    (folder / "linked.py").symlink_to(folder / "mod.py")
    sys.path.insert(0, str(folder / "größe 中"))
    with minpy.install():
        import inner_mod
        import linked
        import mod
    for module in (mod, linked, inner_mod):
        assert is_rewritten(module.f) and module.f.__code__.co_filename == module.__file__
    assert linked.__file__ != mod.__file__


# ----------------------------------------------------------------------------------------------------
# Other people's loaders and finders


def test_only_plain_source_files_are_taken(project, tmp_path) -> None:
    folder = project({"space/inside.py": USER, "compiled.py": USER, "custom.py": USER})
    import py_compile

    py_compile.compile(str(folder / "compiled.py"), cfile=str(folder / "compiled.pyc"))
    (folder / "compiled.py").unlink()
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", USER)
    sys.path.insert(0, str(tmp_path / "lib.zip"))

    class TheirLoader(SourceFileLoader):
        pass

    class TheirFinder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            if name != "custom":
                return None
            return importlib.util.spec_from_file_location(
                name, folder / "custom.py", loader=TheirLoader(name, str(folder / "custom.py"))
            )

    sys.meta_path.insert(0, TheirFinder)  # type: ignore[arg-type]
    try:
        with minpy.install():
            import compiled
            import custom
            import space
            import space.inside
            import zipped
    finally:
        sys.meta_path.remove(TheirFinder)  # type: ignore[arg-type]
    assert not is_rewritten(compiled.f) and not is_rewritten(zipped.f) and not is_rewritten(custom.f)
    assert type(custom.__loader__) is TheirLoader
    assert space.__spec__.origin is None and type(space.__path__).__name__ == "_NamespacePath"
    assert is_rewritten(space.inside.f), "a module inside a namespace package is an ordinary file"


def test_an_editable_finder_behind_us_is_asked_and_its_files_are_rewritten(project, tmp_path) -> None:
    (tmp_path / "elsewhere.py").write_text(USER)

    asked: list[str] = []

    class Editable:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            asked.append(name)
            if name != "editable":
                return None
            return importlib.util.spec_from_file_location(name, tmp_path / "elsewhere.py")

    sys.meta_path.append(Editable)  # type: ignore[arg-type]
    try:
        with minpy.install():
            import editable

            with pytest.raises(ModuleNotFoundError):
                import no_such_module  # noqa: F401
    finally:
        sys.meta_path.remove(Editable)  # type: ignore[arg-type]
    assert is_rewritten(editable.f)
    assert asked.count("editable") == 1


@pytest.mark.parametrize("place", [0, 2])
def test_finders_that_ask_everybody_do_not_go_round_in_circles(project, place: int) -> None:
    project({"mod.py": USER})

    class AsksAll:
        def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            for finder in sys.meta_path:
                if finder is not self and hasattr(finder, "find_spec"):
                    spec = finder.find_spec(name, path, target)
                    if spec is not None:
                        return spec
            return None

    asks_all, odd = AsksAll(), object()
    with minpy.install():
        sys.meta_path.insert(place, asks_all)  # type: ignore[arg-type]
        sys.meta_path.insert(1 + place, odd)  # type: ignore[arg-type]
        try:
            import mod
        finally:
            for finder in (asks_all, odd):
                sys.meta_path.remove(finder)  # type: ignore[arg-type]
    assert is_rewritten(mod.f)


def test_what_the_rewriter_imports_is_not_rewritten(project, monkeypatch) -> None:
    project({"mod.py": USER, "inside.py": USER})
    original = rewriter.compile_with_report

    def importing(*args: object, **options: object) -> object:
        import inside  # noqa: F401

        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(rewriter, "compile_with_report", importing)
    with minpy.install():
        import mod
    assert is_rewritten(mod.f)
    assert not is_rewritten(sys.modules["inside"].f)


def test_a_lazy_loader_around_ours(project) -> None:
    folder = project({"mod.py": USER})
    with minpy.install():
        spec = importlib.util.find_spec("mod")
        assert spec is not None and spec.loader is not None
        spec.loader = importlib.util.LazyLoader(spec.loader)  # type: ignore[arg-type]
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    assert is_rewritten(module.f) and module.__file__ == str(folder / "mod.py")


def test_threads_that_import_at_once(project) -> None:
    project({f"m{n}.py": f"import m{(n + 1) % 8}\n" + USER for n in range(8)})
    failures = []

    def load(n: int) -> None:
        try:
            importlib.import_module(f"m{n}")
        except BaseException as error:
            failures.append(error)

    with minpy.install():
        threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not failures
    assert all(is_rewritten(sys.modules[f"m{n}"].f) for n in range(8))


# ----------------------------------------------------------------------------------------------------
# Failing


def import_failure(name: str) -> str:
    try:
        exec(f"import {name}")  # the statement: of importlib.import_module one sees more frames
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("it was imported")


def test_a_failing_import_has_the_traceback_it_has_without_the_hook(project) -> None:
    project(
        {
            "bad_syntax.py": "import numpy as np\n\nx = (1,\n",
            "imports_bad_syntax.py": "import numpy as np\nimport bad_syntax\n",
            "nul.py": "import numpy as np\nx = '\0'\n",
            "raises.py": "import numpy as np\n\ndef f(a):\n    return np.exp(a) + "
            "np.linalg.inv(a)[1 /\n        0]\nf(np.ones((2, 2)) * np.arange(2))\n",
            "imports_missing.py": "import numpy as np\nimport no_such_module\n",
            "missing_name.py": "import numpy as np\nfrom raises import nothing\n",
            "exits.py": "import numpy as np\nraise SystemExit(np.exp(0))\n",
        }
    )
    Path(sys.path[0], "bad_encoding.py").write_bytes(b"import numpy as np\nx = '\xff'\n")
    names = ["bad_syntax", "imports_bad_syntax", "nul", "raises", "imports_missing", "missing_name", "exits"]
    names.append("bad_encoding")
    texts = []
    for hooked in (False, True, True):
        with minpy.install(options=Options(strict=True)) if hooked else warnings.catch_warnings():
            texts.append({name: import_failure(name) for name in names})
    assert texts[1] == texts[0]
    assert texts[2] == texts[0], "from the cache too"


def test_a_module_that_cannot_be_rewritten_runs_unmodified_with_one_warning(project, monkeypatch) -> None:
    folder = project({"mod.py": USER})

    def refuse(source: object, filename: str, *args: object, **options: object) -> object:
        error = RewriteError(f"{filename}, line 4: too clever by half")
        error.line = 4  # type: ignore[attr-defined]
        raise error

    calls = []
    monkeypatch.setattr(rewriter, "compile_with_report", lambda *a, **k: calls.append(1) or refuse(*a, **k))
    for _ in range(
        2
    ):  # the second time from the cache: a warning that comes only once per edit would be missed
        forget("mod")
        with pytest.warns(RewriteWarning) as caught, minpy.install():
            import mod
        assert [(warning.filename, warning.lineno) for warning in caught] == [(str(folder / "mod.py"), 4)]
        assert "mod runs unmodified" in str(caught[0].message) and "too clever" in str(caught[0].message)
        assert not is_rewritten(mod.f) and mod.f(0.0) == 1.0
    for _ in range(2):
        forget("mod")
        with pytest.raises(RewriteError, match="too clever"), minpy.install(options=Options(strict=True)):
            import mod
    assert "mod" not in sys.modules
    assert len(calls) == 1


@pytest.mark.parametrize("error", [RecursionError("deep"), ImportError("libcst is broken"), KeyError("bug")])
def test_a_bug_in_the_rewriter_does_not_stop_the_program_and_is_not_cached(
    project, monkeypatch, error: Exception
) -> None:
    project({"mod.py": USER})

    def fail(*args: object, **options: object) -> object:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(rewriter, "compile_with_report", fail)
        with pytest.warns(RewriteWarning, match=type(error).__name__), minpy.install():
            import mod
    assert not is_rewritten(mod.f)
    assert not build.is_rewriting()
    forget("mod")
    with minpy.install():
        import mod as again
    assert is_rewritten(again.f)


def test_a_rewriter_that_finds_fault_with_good_source_is_not_believed(project, monkeypatch) -> None:
    project({"mod.py": USER})

    def fail(*args: object, **options: object) -> object:
        raise SyntaxError("no such thing")

    monkeypatch.setattr(rewriter, "compile_with_report", fail)
    with pytest.warns(RewriteWarning), minpy.install():
        import mod
    assert mod.f(0.0) == 1.0


def test_source_to_code_serves_tools_that_compile_for_a_loader(project) -> None:
    folder = project({"mod.py": USER})
    with minpy.install():
        loader = importlib.util.find_spec("mod").loader  # type: ignore[union-attr]
    source = (folder / "mod.py").read_bytes()
    for data in (source, source.decode()):
        code = loader.source_to_code(data, "other.py")  # type: ignore[union-attr]
        assert code.co_filename == "other.py" and hook.DOOR in code.co_consts[2].co_names
    plain = loader.source_to_code(source, "other.py", _optimize=2)  # type: ignore[union-attr]
    assert hook.DOOR not in plain.co_consts[2].co_names
    with pytest.raises(SyntaxError):
        loader.source_to_code(b"x = (", "other.py")  # type: ignore[union-attr]


# ----------------------------------------------------------------------------------------------------
# Scripts that are run by path


def test_run_path_runs_rewritten_code_while_the_hook_is_there(project) -> None:
    import py_compile
    import runpy

    folder = project({"script.py": USER, "off.py": USER, "bad.py": "x = (", "app/__main__.py": USER})
    py_compile.compile(str(folder / "script.py"), cfile=str(folder / "compiled.pyc"))
    plain = runpy._get_code_from_file  # type: ignore[attr-defined]

    def outcomes() -> list[bool]:
        targets = [folder / "script.py", folder / "off.py", folder / "app", folder / "compiled.pyc"]
        return [is_rewritten(runpy.run_path(str(target))["f"]) for target in targets]

    assert outcomes() == [False] * 4
    with minpy.install(exclude="off.py"), minpy.install(exclude=f"{folder}/off.py"):
        assert outcomes() == [True, False, True, False]
        assert runpy.run_path(str(folder / "script.py"), run_name="odd")["__name__"] == "odd"
        with pytest.raises(SyntaxError, match="never closed"):
            runpy.run_path(str(folder / "bad.py"))
        with pytest.raises(FileNotFoundError):
            runpy.run_path(str(folder / "missing.py"))
    assert runpy._get_code_from_file is plain  # type: ignore[attr-defined]
    assert outcomes() == [False] * 4
