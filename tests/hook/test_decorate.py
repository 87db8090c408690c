"""``@minpy.accelerate``: the same function object with other code, or the same function and a reason."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import importlib
import inspect
import linecache
import pickle
import subprocess
import sys
import traceback
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import minpy
from minpy.errors import RewriteError, RewriteWarning
from minpy.options import Options
from minpy.transform import decorate
from minpy.transform.build import DOOR

HEAD = """import functools, contextlib, types
from dataclasses import dataclass
import numpy as np
import minpy

"""


@pytest.fixture
def load(project):
    """Import a module with this body; a warning fails the test."""
    numbers = iter(range(100))

    def make(body: str) -> types.ModuleType:
        name = f"mod{next(numbers)}"
        project({f"{name}.py": HEAD + inspect.cleandoc(body) + "\n"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return importlib.import_module(name)

    return make


def codes(code: types.CodeType) -> list[types.CodeType]:
    return [code, *(c for const in code.co_consts if isinstance(const, types.CodeType) for c in codes(const))]


def is_rewritten(function: types.FunctionType) -> bool:
    return any(DOOR in code.co_names for code in codes(function.__code__))


def test_a_function_keeps_its_identity_and_everything_but_its_code(load) -> None:
    module = load(
        """
        def plain(x: float, y=[1], *, k: int = 2) -> "float":
            "doc"
            return np.exp(x) + y[0] + k
        plain.tag = 5
        before = plain, plain.__code__, plain.__defaults__, plain.__kwdefaults__
        after = minpy.accelerate(plain)
        """
    )
    function, code, defaults, kwdefaults = module.before
    assert module.after is function is module.plain
    assert function.__code__ is not code and is_rewritten(function)
    assert function.__defaults__ is defaults and function.__kwdefaults__ is kwdefaults
    assert function(0.0, k=3) == 5.0 and function.tag == 5 and function.__doc__ == "doc"
    assert function.__annotations__ == {"x": float, "k": int, "return": "float"}
    for name in (
        "co_filename",
        "co_firstlineno",
        "co_varnames",
        "co_argcount",
        "co_kwonlyargcount",
        "co_flags",
    ):
        assert getattr(function.__code__, name) == getattr(code, name)
    assert inspect.getsource(function).startswith("def plain(x: float")
    assert DOOR not in vars(module)
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.deepcopy(function) is function


def test_as_a_decorator_with_and_without_options(load) -> None:
    module = load(
        """
        @minpy.accelerate
        def one(a, b): return np.exp(a) + b

        @minpy.accelerate(operators=True)
        def two(a, b): return np.exp(a) + b

        @minpy.accelerate(operators=True, cache=False, strict=True)
        def three(a, b): return a + b

        @minpy.accelerate()
        def four(a, b): return a + b
        """
    )
    assert [is_rewritten(f) for f in (module.one, module.two, module.three, module.four)] == [True] * 3 + [
        False
    ]
    assert "op" in module.two.__code__.co_names and "op" not in module.one.__code__.co_names
    assert module.one(0, 1) == module.two(0, 1) == 2.0


def test_functions_of_every_kind(load) -> None:
    module = load(
        """
        acc = minpy.accelerate

        class Base:
            def scale(self, x): return x

        @acc
        class A(Base):
            factor = 2
            def method(self, x): return np.exp(x) * self.factor
            @classmethod
            def of_class(cls, x): return np.exp(x) * cls.factor
            @staticmethod
            def static(x): return np.exp(x)
            @property
            def prop(self): return np.exp(self.factor)
            @prop.setter
            def prop(self, value): self.factor = np.log(value)
            @functools.cached_property
            def cached(self): return np.sqrt(4.0)
            @functools.lru_cache
            def remembered(self, x): return np.exp(x)
            @contextlib.contextmanager
            def managed(self): yield np.exp(0.0)
            def scale(self, x): return super().scale(np.exp(x)) + __class__.factor
            def __private(self): return np.exp(0.0)
            def private(self): return self.__private()
            part = functools.partialmethod(method, 0.0)
            class Inner:
                def deep(self): return np.exp(0.0)
            borrowed = np.exp
            lam = lambda self: np.exp(0.0)

        @acc
        def gen(n):
            got = yield np.exp(0.0)
            for i in range(n):
                got = yield np.add(got, i)
        @acc
        async def coro(x): return np.exp(x)
        @acc
        async def agen(n):
            for i in range(n):
                yield np.exp(0.0) * i
        @acc
        @types.coroutine
        def old_style():
            yield np.exp(0.0)
        @acc
        def recursive(n): return np.exp(0.0) if n == 0 else recursive(n - 1)
        lam = acc(lambda x: np.exp(x) + 1)
        @acc
        def inner_parts(xs): return [np.exp(x) for x in xs], (lambda: np.exp(0.0))(), {*map(np.exp, [])}

        def bare():
            class Bound:
                def m(self): return np.exp(0.0)
            b = Bound()
            acc(b.m)
            return b
        """
    )
    a = module.A()
    cls = vars(module.A)
    members = ["method", "scale", "private", "lam", "_A__private"]
    functions = {name: cls[name] for name in members if name != "private"}
    functions |= {
        "of_class": cls["of_class"].__func__,
        "static": cls["static"].__func__,
        "deep": cls["Inner"].deep,
    }
    functions |= {"get": cls["prop"].fget, "set": cls["prop"].fset, "cached": cls["cached"].func}
    functions |= {"remembered": cls["remembered"].__wrapped__, "managed": cls["managed"].__wrapped__}
    functions |= {
        name: getattr(module, name) for name in ("gen", "coro", "agen", "old_style", "recursive", "lam")
    }
    functions |= {"inner_parts": module.inner_parts, "bound": type(module.bare()).m}
    assert [name for name, function in functions.items() if not is_rewritten(function)] == []
    assert not is_rewritten(cls["private"]), "there is nothing to rewrite in it"
    assert not is_rewritten(module.Base.scale)
    assert (a.method(0.0), a.of_class(0.0), a.static(0.0), a.cached, a.remembered(0.0), a.part()) == (
        2,
        2,
        1,
        2,
        1,
        2,
    )
    assert (a.scale(0.0), a.private(), a.Inner().deep(), a.lam()) == (3, 1, 1, 1)
    a.prop = 1.0
    assert a.factor == 0.0 and a.prop == 1.0
    with a.managed() as value:
        assert value == 1.0
    generator = module.gen(2)
    assert next(generator) == 1.0 and generator.send(5.0) == 5.0 and generator.send(1.0) == 2.0
    assert asyncio.run(module.coro(0.0)) == 1.0

    async def collect() -> list[float]:
        return [x async for x in module.agen(3)]

    assert asyncio.run(collect()) == [0.0, 1.0, 2.0]
    assert inspect.isawaitable(module.old_style())
    assert module.recursive(3) == 1.0 and module.lam(0.0) == 2.0
    assert module.inner_parts([0.0]) == ([1.0], 1.0, set())


def test_closure_cells_stay_the_same_objects_and_live(load) -> None:
    module = load(
        """
        def make():
            import numpy as np
            from numpy import sqrt
            count = 0
            def outer_plain():
                return count
            @minpy.accelerate
            def step(x):
                "doc"
                nonlocal count
                count += 1
                return np.exp(x) * count, sqrt(4.0)
            lam = minpy.accelerate(lambda x: np.exp(x))
            @minpy.accelerate
            async def coro(): return np.exp(0.0), count
            return step, outer_plain, lam, coro
        """
    )
    step, outer, lam, coro = module.make()
    assert is_rewritten(step) and is_rewritten(lam) and is_rewritten(coro)
    assert step(0.0) == (1.0, 2.0) and step(0.0) == (2.0, 2.0) and outer() == 2
    assert step.__doc__ == "doc" and lam(0.0) == 1.0
    assert step.__code__.co_freevars == ("count", "np", "sqrt") and len(step.__closure__) == 3
    assert step.__closure__[0] is outer.__closure__[0]
    assert step.__closure__[1].cell_contents is np
    assert asyncio.run(coro()) == (1.0, 2)
    again, *_ = module.make()
    assert again(0.0) == (1.0, 2.0) and is_rewritten(again), "each call of the outer function makes another"


def test_decorators_above_and_below(load) -> None:
    module = load(
        """
        calls = []
        def log(f):
            @functools.wraps(f)
            def wrapper(*args):
                calls.append(f.__name__)
                return f(*args)
            return wrapper

        @minpy.accelerate
        @log
        @functools.lru_cache(None)
        def above(x): return np.exp(x)

        @log
        @minpy.accelerate
        @log
        def between(x): return np.exp(x)

        @functools.singledispatch
        def generic(x): return np.exp(x)
        minpy.accelerate(generic)
        """
    )
    for function in (module.above, module.between, module.generic):
        assert function(0.0) == 1.0 and is_rewritten(inspect.unwrap(function))
    assert module.calls == ["above", "between", "between"]


def test_generated_and_borrowed_members_are_passed_over(load) -> None:
    module = load(
        """
        def helper(self): return np.exp(0.0)

        @minpy.accelerate
        @dataclass
        class Point:
            x: float
            def length(self): return np.sqrt(self.x ** 2)
            helper = helper
            Other = dict
        """
    )
    assert module.Point(3.0) == module.Point(3.0) and module.Point(3.0).length() == 3.0
    assert is_rewritten(module.Point.length) and not is_rewritten(module.helper)


def test_lambdas_in_one_line(load) -> None:
    module = load("pair = [lambda x: np.exp(x), lambda x: np.sin(x)]\nminpy.accelerate(pair[0])")
    assert is_rewritten(module.pair[0]) and not is_rewritten(module.pair[1])
    assert module.pair[0](0.0) == 1.0


def test_future_imports_hold(project) -> None:
    project(
        {
            "fut.py": "from __future__ import annotations\n"
            + HEAD
            + "@minpy.accelerate\ndef f(x: undefined):\n"
            "    def g(y: undefined): return np.exp(y)\n    return g(x), g.__annotations__\n"
        }
    )
    import fut

    assert is_rewritten(fut.f) and fut.f(0.0) == (1.0, {"y": "undefined"})


def test_under_the_hook_there_is_nothing_left_to_do(project) -> None:
    project(
        {
            "hooked.py": HEAD + "@minpy.accelerate\ndef f(x): return np.exp(x)\n"
            "class A:\n    def m(self): return np.sin(0.0)\ncode = A.m.__code__\nminpy.accelerate(A)\n"
        }
    )
    with minpy.install(options=Options(strict=True)):
        import hooked
    assert is_rewritten(hooked.f) and hooked.f(0.0) == 1.0
    assert hooked.A.m.__code__ is hooked.code


def test_under_the_hook_a_decoration_rewrites_nothing_again(project, monkeypatch) -> None:
    project({"warm.py": HEAD + "@minpy.accelerate\ndef f(x): return np.exp(x)\n"})
    with minpy.install():
        import warm

        del sys.modules["warm"]
        decorate._exchanged.clear()
        decorate._modules.clear()
        monkeypatch.setattr(decorate.build, "rewrite", None)
        import warm as again
    assert warm is not again and is_rewritten(again.f)


def test_operators_can_be_asked_for_or_taken_back_where_the_hook_was(project) -> None:
    project(
        {
            "again.py": HEAD + "def make():\n    import numpy as np\n    c = 1\n"
            "    def f(x): return np.exp(x) + c\n    return f\n"
        }
    )
    with minpy.install(options=Options(strict=True)):
        import again
    f = again.make()
    minpy.accelerate(operators=True, strict=True)(f)
    assert "op" in f.__code__.co_names and f(0.0) == 2.0
    minpy.accelerate(operators=False, strict=True)(f)
    assert "op" not in f.__code__.co_names and is_rewritten(f) and f(0.0) == 2.0


def test_decorating_twice_is_decorating_once(load) -> None:
    module = load(
        """
        @minpy.accelerate
        @minpy.accelerate
        def f(x): return np.exp(x)
        code = f.__code__
        minpy.accelerate(f)
        """
    )
    assert module.f.__code__ is module.code and is_rewritten(module.f)


def test_tracebacks_are_those_of_the_plain_function(load) -> None:
    module = load(
        """
        def f(a):
            return (np.exp(a) +
                    np.linalg.inv(a)[a.missing])
        """
    )

    def failure() -> str:
        try:
            module.f(np.ones((2, 2)) * np.arange(1, 3)[:, None] ** np.arange(2))
        except AttributeError:
            return traceback.format_exc()
        raise AssertionError

    before = failure()
    minpy.accelerate(module.f)
    assert is_rewritten(module.f) and failure() == before
    assert before.count('File "') == 2, "no frame of ours"


# ----------------------------------------------------------------------------------------------------
# What cannot be done


def refusal(obj: object, **options: object) -> str:
    code = getattr(obj, "__code__", None)
    with pytest.warns(RewriteWarning) as caught:
        assert minpy.accelerate(**options)(obj) is obj if options else minpy.accelerate(obj) is obj
    assert len(caught) == 1
    assert getattr(obj, "__code__", None) is code
    with pytest.raises(RewriteError):
        minpy.accelerate(strict=True)(obj)
    return str(caught[0].message)


def test_what_is_no_python_function_is_refused_with_the_reason() -> None:
    class Callable:
        def __call__(self) -> None: ...

    assert "decorate the class Callable" in refusal(Callable())
    for obj in (len, np.exp, np.linalg, 3, functools.partial(max, 1), "text".upper):
        assert "not a function written in Python" in refusal(obj)


def test_a_function_without_source_is_refused() -> None:
    names: dict[str, types.FunctionType] = {}
    exec("import numpy as np\ndef f(x): return np.exp(x)", names)
    assert "source cannot be found (<string>)" in refusal(names["f"])


@pytest.mark.parametrize(
    "text", ["import sys\nprint(sys.argv)\n", "not Python\n", "def f(x):\n    return 2 * x\n"]
)
def test_the_text_of_a_command_is_not_taken_for_that_of_generated_code(monkeypatch, load, text: str) -> None:
    """Newer Pythons keep the text of ``python -c`` under the name that code made by ``exec`` has as well."""
    entry = (len(text), None, text.splitlines(True), "<string>")
    monkeypatch.setitem(linecache.cache, "<string>", entry)
    names: dict[str, types.FunctionType] = {}
    exec("import numpy as np\n\ndef f(x): return np.exp(x)", names)
    assert "source cannot be found (<string>)" in refusal(names["f"])
    module = load(
        "@minpy.accelerate\n@dataclass\nclass Point:\n    x: float\n    def f(self): return np.exp(self.x)"
    )
    assert module.Point(0.0).f() == 1.0 and is_rewritten(module.Point.f)


def test_a_function_of_a_command_is_accelerated() -> None:
    """Where its text can be had: else the reason says so."""
    command = (
        "import dataclasses, minpy, numpy as np\n@minpy.accelerate\n@dataclasses.dataclass\nclass A:\n    x: float\n"
        "    def f(self): return np.exp(self.x)\nprint(A(0.0).f(), A.f.__code__.co_names[0])"
    )
    root = str(Path(minpy.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", command], capture_output=True, text=True, cwd=root
    )
    assert (done.stdout, done.stderr) == (
        "1.0 __minpy__\n" if sys.version_info >= (3, 13) else "1.0 np\n",
        "",
    )


def test_a_file_that_changed_since_is_not_trusted(load) -> None:
    for change in (
        "\n\ndef f(x): return np.exp(x)\n",
        "def f(x): return np.sin(x)\n",
        "def f(x): return (\n",
        "",
    ):
        module = load("def f(x): return np.exp(x)")
        Path(module.__file__).write_text(HEAD + change)
        assert "changed" in refusal(module.f) or "cannot be found" in refusal(module.f)
        assert module.f(0.0) == 1.0
    module = load("def f(x): return np.exp(x)")
    Path(module.__file__).write_text(HEAD + "def f(x): return np.exp(x)\n# a remark below it\n")
    minpy.accelerate(module.f)
    assert is_rewritten(module.f), "what did not move did not change"
    module = load("def f(x): return np.exp(x)")
    Path(module.__file__).unlink()
    linecache.checkcache()
    assert "source cannot be found" in refusal(module.f)


def test_a_code_that_another_tool_made_is_left_alone(load) -> None:
    module = load("def f(x): return np.exp(x)\ndef g(x): return np.sin(x)")
    module.f.__code__ = module.g.__code__.replace(co_name="f", co_firstlineno=6)
    assert "another tool" in refusal(module.f)


def test_a_refusal_names_the_functions_file_and_line(load) -> None:
    module = load("def f(x): return np.exp(x)")
    Path(module.__file__).write_text("")
    Path(module.__file__).write_text("x = 1")
    with pytest.warns(RewriteWarning, match="f is not accelerated: ") as caught:
        minpy.accelerate(module.f)
    assert (caught[0].filename, caught[0].lineno) == (module.__file__, 6)


def test_a_module_that_cannot_be_rewritten_is_a_reason(load, monkeypatch) -> None:
    from minpy.transform import rewriter

    def refuse(source: object, filename: str, *args: object, **options: object) -> object:
        raise RewriteError(f"{filename}, line 4: too clever")

    monkeypatch.setattr(rewriter, "compile_with_report", refuse)
    module = load("def f(x): return np.exp(x)")
    assert "too clever" in refusal(module.f)


# ----------------------------------------------------------------------------------------------------
# Notebooks and other processes


def test_a_notebook_cell_is_a_source(load) -> None:
    text = (
        "import numpy as np\nawait_me = 1\ndef f(x):\n    return np.exp(x)\nasync def g(): pass\nawait g()\n"
    )
    name = "<ipython-input-7-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    import ast

    names: dict[str, types.FunctionType] = {"__name__": "__main__"}  # type: ignore[dict-item]
    code = compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.suppress(StopIteration):
        coroutine = eval(code, names)
        coroutine.send(None)
    try:
        minpy.accelerate(names["f"])
        assert is_rewritten(names["f"]) and names["f"](0.0) == 1.0
    finally:
        del linecache.cache[name]


def test_a_notebook_cell_with_the_futures_of_an_earlier_one(load) -> None:
    import __future__

    flag = __future__.annotations.compiler_flag
    text = (
        "import numpy as np\ndef f(x: undefined):\n    def g(y: undefined): return np.exp(y)\n    return g\n"
    )
    name = "<ipython-input-8-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    names: dict[str, types.FunctionType] = {}
    exec(compile(text, name, "exec", flag), names)
    try:
        minpy.accelerate(names["f"])
        assert is_rewritten(names["f"]) and names["f"](0.0).__annotations__ == {"y": "undefined"}
    finally:
        del linecache.cache[name]


def test_a_function_pickled_by_value_takes_the_door_along(tmp_path, project) -> None:
    cloudpickle = pytest.importorskip(
        "cloudpickle", reason="comes with the extra rl"
    )  # as joblib and dask do
    project(
        {
            "byvalue.py": HEAD + "def make():\n    import numpy as np\n    @minpy.accelerate\n    def f(x):\n"
            "        return np.exp(x)\n    return f\n"
        }
    )
    import byvalue

    cloudpickle.register_pickle_by_value(byvalue)
    (tmp_path / "f.pkl").write_bytes(cloudpickle.dumps(byvalue.make()))
    script = (
        f"import pickle, builtins; f = pickle.load(open({str(tmp_path / 'f.pkl')!r}, 'rb')); print(f(0.0), "
    )
    script += "hasattr(builtins, '__minpy__'))"
    root = str(Path(minpy.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root)
    assert done.stdout.split() == ["1.0", "True"], done.stderr


def test_many_functions_of_a_module_are_compiled_once(load, monkeypatch) -> None:
    calls = []
    original = decorate.build.rewrite

    def counting(*args: object, **options: object) -> object:
        calls.append(args[1])
        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decorate.build, "rewrite", counting)
    load("\n".join(f"@minpy.accelerate\ndef f{n}(x): return np.exp(x)" for n in range(20)))
    assert len(calls) == 1
