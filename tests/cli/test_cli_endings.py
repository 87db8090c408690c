"""However a program ends, standard output, standard error and the exit status are those under ``python``."""

from __future__ import annotations

import os
import re
import sys
import textwrap

import pytest

ENDINGS = {
    "normally": "print('done')",
    "nothing": "",
    "only a comment": "# nothing",
    "exit with nothing": "import sys; sys.exit()",
    "exit 0": "import sys; sys.exit(0)",
    "exit 3": "import sys; sys.exit(3)",
    "exit 256": "import sys; sys.exit(256)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit with a huge number": "import sys; sys.exit(10**30)",
    "exit True": "import sys; sys.exit(True)",
    "exit with text": "import sys; print('out'); sys.exit('a message\\nof two lines')",
    "exit with empty text": "import sys; sys.exit('')",
    "exit with an object": "import sys; sys.exit(['a', 1])",
    "exit with two arguments": "raise SystemExit(1, 2)",
    "exit with a float": "import sys; sys.exit(2.0)",
    "exit with an object whose text fails": """
        import sys
        class C:
            def __str__(self): raise ValueError("no text")
        sys.exit(C())
        """,
    "own SystemExit": """
        class Stop(SystemExit):
            pass
        try:
            raise Stop(4)
        finally:
            print("finally")
        """,
    "exit from a function, a with and a finally": """
        import contextlib, sys
        @contextlib.contextmanager
        def manager():
            try:
                yield
            finally:
                print("left")
        def f():
            with manager():
                sys.exit(9)
        f()
        """,
    "exit while handling": """
        import sys
        try:
            1 / 0
        except ZeroDivisionError:
            sys.exit("while handling")
        """,
    "os._exit": "import os, sys; print('lost or not'); sys.stdout.flush(); os._exit(7)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "quit()": "quit(5)",
    "an exception": """
        def f(x):
            return 1 / x
        print("before")
        f(0)
        """,
    "an exception over several lines": """
        def f(*args):
            raise ValueError("first line\\nsecond line")
        f(1,
          2, (3 +
              4))
        """,
    "an exception with an odd text": "raise ValueError('é ü 日本 \\udcff \\x00 \\x1b[1m')",
    "an exception whose text fails": """
        class E(Exception):
            def __str__(self): raise RuntimeError
        raise E
        """,
    "an exception class from another module": "import json; json.loads('{')",
    "an exception without text": "raise ValueError",
    "AssertionError": "assert 1 == 2, 'no'",
    "a cause": """
        try:
            1 / 0
        except ZeroDivisionError as e:
            raise ValueError("second") from e
        """,
    "a context": """
        def f():
            try:
                {}["key"]
            except KeyError:
                [][0]
        f()
        """,
    "a context that is hidden": """
        try:
            1 / 0
        except ZeroDivisionError:
            raise ValueError("alone") from None
        """,
    "a circle of contexts": """
        a, b = ValueError("a"), ValueError("b")
        a.__context__, b.__context__ = b, a
        raise a
        """,
    "raised again": """
        try:
            1 / 0
        except ZeroDivisionError as e:
            kept = e
        def again():
            raise kept
        again()
        """,
    "a traceback of its own": """
        try:
            1 / 0
        except ZeroDivisionError as e:
            raise e.with_traceback(None)
        """,
    "BaseException": "raise BaseException('base')",
    "GeneratorExit": "raise GeneratorExit",
    "StopIteration": "next(iter([]))",
    "an error in a generator": """
        def g():
            yield 1
            raise RuntimeError("in g")
        list(g())
        """,
    "an error in a comprehension, a class body and a lambda": """
        class C:
            values = [(lambda v: 1 // v)(v) for v in (1, 0)]
        """,
    "an error in code of exec": "exec(compile('x = 1\\n1/0', '<made up>', 'exec'))",
    "a syntax error at run time": "compile('x = = 1', 'other.py', 'exec')",
    "a syntax error in eval": "eval('1 +')",
    "an error on a very long line": f"x = [{'1, ' * 300} 1 / 0]",
    "tabs and wide characters": "if True:\n\tdef ü日本(x):\n\t\treturn '日本' + x + 'ü'\n\tü日本(1)",
    "a form feed and lines joined": "x = 1\n\x0c\ny = x + \\\n    x / 0\n",
    "too much recursion": """
        def f(n):
            return f(n + 1)
        f(0)
        """,
    "too much recursion, in turns": """
        def f(n): return g(n)
        def g(n): return [f(n) for _ in (1,)]
        f(0)
        """,
    "NameError with a suggestion": "value = 1\nvalu",
    "AttributeError with a suggestion": "import math\nmath.sine(1)",
    "ImportError": "import module_that_is_not_there",
    "ImportError of a name": "from os import nothing_of_this_name",
    "UnboundLocalError": """
        def f():
            x += 1
        f()
        """,
    "UnboundLocalError of the first of two": """
        import numpy as np
        def f(a):
            if a is None:
                x = 1
            return np.sqrt(a * x + a * a) + x
        f(np.ones(3))
        """,
    "an error deep in the standard library": "import ast; ast.literal_eval('f(x)')",
    "tracebacklimit 0": "import sys; sys.tracebacklimit = 0\ndef f(): 1/0\nf()",
    "tracebacklimit 1": "import sys; sys.tracebacklimit = 1\ndef f(): 1/0\nf()",
    "its own excepthook": """
        import sys, traceback
        def hook(kind, error, tb):
            print("hook", kind.__name__, error, len(traceback.extract_tb(tb)), tb is error.__traceback__)
            print(sys.last_type, sys.last_value is error, sys.last_traceback is tb, sys.exc_info())
            traceback.print_exception(kind, error, tb)
        sys.excepthook = hook
        def f(): 1/0
        f()
        """,
    "an excepthook that fails": """
        import sys
        def hook(*args):
            raise RuntimeError("in the hook")
        sys.excepthook = hook
        1/0
        """,
    "an excepthook that exits": """
        import sys
        sys.excepthook = lambda *args: sys.exit(11)
        1/0
        """,
    "an excepthook that is no function": "import sys; sys.excepthook = None; 1/0",
    "an excepthook that is gone": "import sys; del sys.excepthook; 1/0",
    "an excepthook for KeyboardInterrupt": """
        import sys
        sys.excepthook = lambda kind, error, tb: print("hook:", kind.__name__)
        raise KeyboardInterrupt
        """,
    "KeyboardInterrupt": "print('x')\nraise KeyboardInterrupt('stop')",
    "KeyboardInterrupt, with work at exit": """
        import atexit, sys
        @atexit.register
        def last():
            print("at exit", sys.excepthook is sys.__excepthook__, repr(sys.last_value))
            print(sys.last_traceback.tb_frame.f_code.co_name, sys.last_traceback.tb_lineno)
        def f():
            raise KeyboardInterrupt
        f()
        """,
    "KeyboardInterrupt of its own kind": "class Stop(KeyboardInterrupt): pass\nraise Stop",
    "SIGINT": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor i in range(10**7): pass",
    "SIGINT, handled": """
        import os, signal
        signal.signal(signal.SIGINT, lambda *args: print("handled"))
        os.kill(os.getpid(), signal.SIGINT)
        """,
    "SIGINT in asyncio": """
        import asyncio, os, signal
        async def main():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(30)
            finally:
                print("closed")
        asyncio.run(main())
        """,
    "work at exit, in order": """
        import atexit, sys
        for n in range(3):
            atexit.register(print, "at exit", n)
        atexit.register(lambda: print(sorted(name for name in globals() if name[:2] == "__")))
        print("main")
        """,
    "work at exit, after an exception": """
        import atexit, sys
        @atexit.register
        def last():
            print(repr(sys.last_value), sys.last_traceback.tb_lineno, "__file__" in globals())
        1/0
        """,
    "work at exit that fails": """
        import atexit
        def last():
            raise ValueError("too late")
        atexit.register(last)
        """,
    "work at exit that exits": "import atexit, sys\natexit.register(sys.exit, 6)",
    "objects that outlive the program": """
        class C:
            def __init__(self, name): self.name = name
            def __del__(self): print("gone", self.name)
        first, _second, third = C("first"), C("second"), [C("in a list")]
        circle = C("circle"); circle.me = circle
        def f():
            inner = C("local")
            raise RuntimeError("holds a frame")
        f()
        """,
    "objects that outlive a program that ends well": """
        class C:
            def __init__(self, name): self.name = name
            def __del__(self): print("gone", self.name)
        first, _second, third = C("first"), C("second"), [C("in a list")]
        circle = C("circle"); circle.me = circle
        """,
    "a finalizer that fails": """
        class C:
            def __del__(self): raise ValueError("in del")
        C()
        keep = C()
        """,
    "its own unraisablehook": """
        import sys
        sys.unraisablehook = lambda info: print("unraisable", info.exc_type.__name__)
        class C:
            def __del__(self): raise ValueError
        C()
        """,
    "a thread that fails": """
        import threading
        t = threading.Thread(target=lambda: 1/0, name="worker")
        t.start(); t.join()
        print("after")
        """,
    "a thread that goes on": """
        import threading, time
        def work():
            time.sleep(0.2)
            print("the thread, last")
        threading.Thread(target=work).start()
        print("main")
        1/0
        """,
    "a daemon thread": """
        import threading, time
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        """,
    "threading.excepthook": """
        import threading
        threading.excepthook = lambda info: print("hook", info.exc_type.__name__)
        t = threading.Thread(target=lambda: 1/0)
        t.start(); t.join()
        """,
    "a child that is forked": """
        import os, sys
        pid = os.fork()
        if pid == 0:
            raise ValueError("in the child")
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
    "warnings": """
        import warnings
        warnings.warn("here")
        warnings.warn("there", stacklevel=2)
        warnings.warn("everywhere", RuntimeWarning, stacklevel=3)
        warnings.warn("old", DeprecationWarning)
        warnings.warn("older", DeprecationWarning, stacklevel=2)
        def f():
            warnings.warn("caller", stacklevel=2)
        for _ in range(2):
            f()
        """,
    "a warning that is an error": """
        import warnings
        warnings.simplefilter("error")
        warnings.warn("now an error", stacklevel=2)
        """,
    "output in both streams": """
        import sys
        for i in range(3):
            print("out", i)
            print("err", i, file=sys.stderr)
        1/0
        """,
    "standard output closed": "import sys\nprint('x'); sys.stdout.flush(); sys.stdout.close()\n1/0",
    "standard error gone": "import sys\nprint('x')\nsys.stderr = None\n1/0",
    "standard error replaced": "import io, sys\nsys.stderr = io.StringIO()\nprint('x')\n1/0",
    "standard output replaced": """
        import io, sys
        class Shout(io.TextIOBase):
            def write(self, text): return sys.__stdout__.write(text.upper())
            def flush(self): sys.__stdout__.write("[flush]")
        sys.stdout = Shout()
        print("text")
        """,
    "a full device": "import sys\nsys.stdout = open('/dev/full', 'w')\nprint('x')",
    "no line end": "import sys; sys.stdout.write('no end')",
    "the main module replaced": "import sys, types\nsys.modules['__main__'] = types.ModuleType('other')\n1/0",
    "the main module gone": "import sys\ndel sys.modules['__main__']\nprint(__name__)",
    "its names cleared": "globals().clear()",
    "its own traceback printed": """
        import sys, traceback
        def f(): 1/0
        try:
            f()
        except Exception as e:
            traceback.print_exc()
            print(traceback.format_exception_only(e), sys.exc_info()[2].tb_next.tb_lineno)
        """,
    "nested functions and closures": """
        def outer(n):
            def inner():
                nonlocal n
                n = n / 0
            inner()
        outer(1)
        """,
    "numpy": """
        import numpy as np
        a = np.arange(6.0).reshape(2, 3)
        print(a @ a.T, np.exp(a).sum())
        a + np.zeros(4)
        """,
    "numpy, deeper": """
        import numpy as np
        def f(a):
            return np.concatenate([np.sqrt(a), np.linalg.solve(a, np.ones(2))])
        f(np.zeros((3, 2)))
        """,
    "numpy's warnings": """
        import numpy as np
        print(np.log(np.array([0.0, -1.0])))
        print(np.mean([]))
        print(np.nanmean(np.array([np.nan])))
        """,
}
if sys.version_info >= (3, 11):
    ENDINGS |= {
        "a group of exceptions": """
            def f(): 1/0
            def collect():
                errors = []
                for g in (f, lambda: [][1]):
                    try:
                        g()
                    except Exception as e:
                        errors.append(e)
                raise ExceptionGroup("several", [*errors, ExceptionGroup("inner", [ValueError(3)])])
            try:
                collect()
            except* ZeroDivisionError as e:
                raise TypeError("while handling") from e
            """,
        "notes": """
            e = ValueError("text")
            e.add_note("a note\\nof two lines")
            raise e
            """,
        "a task group": """
            import asyncio
            async def fail(): raise OSError(2, "no such thing")
            async def main():
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
            asyncio.run(main())
            """,
    }

if sys.version_info >= (3, 12):
    # These leave the failed conversion pending, and what is first at exit trips over it: it varies.
    del ENDINGS["exit with a huge number"], ENDINGS["exit with an object whose text fails"]

ADDRESS = re.compile(rb"0x[0-9a-f]+")

PROGRAMS = {name: textwrap.dedent(text).lstrip("\n") for name, text in ENDINGS.items()}


@pytest.mark.parametrize("ending", PROGRAMS)
def test_script(bench, ending):
    bench.write("program.py", PROGRAMS[ending])
    plain, ours = bench.both("program.py")
    assert (ours.out, ours.status) == (plain.out, plain.status)
    assert ADDRESS.sub(b"0x", ours.err) == ADDRESS.sub(b"0x", plain.err)


@pytest.mark.parametrize("ending", PROGRAMS)
def test_module_with_one_stream(bench, ending):
    """``-m``, whose tracebacks have frames of runpy; both streams in one pipe, so that the order counts."""
    bench.write("program.py", PROGRAMS[ending])
    plain, ours = bench.both("-m", "program", merged=True)
    assert ours.status == plain.status
    assert ADDRESS.sub(b"0x", ours.out) == ADDRESS.sub(b"0x", plain.out)


@pytest.mark.parametrize(
    "ending",
    [
        "an exception",
        "exit with text",
        "KeyboardInterrupt",
        "a thread that goes on",
        "warnings",
        "too much recursion",
        "its own excepthook",
        "output in both streams",
        "work at exit, after an exception",
        "objects that outlive the program",
        "NameError with a suggestion",
        "numpy",
    ],
)
def test_command_and_standard_input(bench, ending):
    text = PROGRAMS[ending]
    for words, stdin in ((["-c", text], b""), (["-"], text.encode()), ([], text.encode())):
        plain, ours = bench.both(*words, stdin=stdin, merged=True)
        assert (ours.out, ours.status) == (plain.out, plain.status), words
    bench.write("app/__main__.py", text)
    plain, ours = bench.both("app")
    assert (ours.out, ours.err, ours.status) == (plain.out, plain.err, plain.status)


BROKEN = {
    "a syntax error": "x = 1\ny = = 2\n",
    "an open bracket": "x = (1,\n     2\n",
    "a bad indent": "if True:\nx = 1\n",
    "tabs and spaces": "if True:\n\tx = 1\n        y = 2\n",
    "a bad f-string": "x = f'{1 +}'\n",
    "return at top level": "x = 1\nreturn x\n",
    "a late future import": "x = 1\nfrom __future__ import annotations\n",
    "nonlocal at top level": "nonlocal x\n",
    "not UTF-8": b"x = 'caf\xe9'\n",
    "an unknown encoding": "# coding: klingon\nx = 1\n",
    "a null byte": b"x = 1\nprint(x)\n\x00y = 2\n",
    "a byte-order mark and another encoding": b"\xef\xbb\xbf# coding: latin-1\nx = 1\n",
    "too deep for the parser": "x = " + "(" * 300 + ")" * 300 + "\n",
    "wide characters before the error": "x = '日本ü' +* 2\n",
    "keyword as a name": "def class(): pass\n",
    "a latin-1 cookie, in -c without meaning": "# coding: latin-1\nx = 'é' +* 1\n",
    "print of Python 2": "print 'x'\n",
    "a walrus at top level": "x := 1\n",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_program_that_does_not_compile(bench, broken):
    bench.write("program.py", BROKEN[broken])
    bench.write("pkg/__init__.py", "")
    bench.write("pkg/__main__.py", BROKEN[broken])
    ways = [["program.py", "x"], ["-m", "program"], ["-m", "pkg"], ["pkg"]]
    for words in ways:
        plain, ours = bench.both(*words)
        assert (ours.out, ours.err, ours.status) == (plain.out, plain.err, plain.status), words
        assert plain.status == 1 or "null" in broken  # Python 3.11 and older run a file up to its null byte
    text = BROKEN[broken]
    if isinstance(text, str):
        plain, ours = bench.both("-c", text)
        assert (ours.out, ours.err, ours.status) == (plain.out, plain.err, plain.status), "-c"


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "module_that_is_not_there"],
        ["-m", "package_that_is_not.there"],
        ["-m", "nomain"],
        ["-m", "space"],
        ["-m", "broken_package.mod"],
        ["-m", "program.py"],
        ["-m", ".relative"],
        ["-m", "math"],
        ["-m", "sys"],
        ["-m", ""],
        [""],
        ["empty"],
        ["program.zip"],
    ],
    ids=str,
)
def test_nothing_to_run(bench, words):
    """What is a program by its kind but has nothing to run: reported as Python reports it."""
    bench.write("program.py", "print('wrong')")
    bench.write("nomain/__init__.py", "print('imported')")
    bench.write("space/module.py", "")
    bench.write("broken_package/__init__.py", "1/0")
    bench.write("broken_package/mod.py", "")
    bench.write("empty/readme", "")
    bench.write("program.zip", b"PK\x05\x06" + b"\x00" * 18)
    plain, ours = bench.both(*words)
    assert (ours.out, ours.err, ours.status) == (plain.out, plain.err, plain.status)
    assert plain.status == 1


CANNOT_OPEN = ["missing.py", "no/such/folder/x.py", "caf\udce9\n.py"]
if os.geteuid():  # root may read every file
    CANNOT_OPEN.append("unreadable.py")


@pytest.mark.parametrize("word", CANNOT_OPEN)
def test_script_that_cannot_be_opened(bench, word):
    """One line and status 2; all but the first word is Python's own message."""
    bench.write("unreadable.py", "").chmod(0)
    plain, ours = bench.both(word)
    assert ours.status == plain.status == 2
    assert ours.err.startswith(b"minpy: error: ") and ours.err.count(b"\n") == 1
    assert ours.err.partition(b"can't open")[2] == plain.err.partition(b"can't open")[2]


def test_bytecode_of_another_python(bench):
    bench.write("program.pyc", b"\x00\x00\r\n" + b"\x00" * 40)
    plain, ours = bench.both("program.pyc")
    assert (ours.out, ours.err, ours.status) == (plain.out, plain.err, plain.status)


def test_siblings_that_fail(bench):
    """Tracebacks through modules that are imported: only frames of the program and of libraries."""
    bench.write("sibling.py", "import numpy as np\ndef f(a):\n    return np.linalg.inv(a)\n")
    bench.write("failing.py", "import sibling\nx = 1\nraise ValueError(x)\n")
    bench.write("wrong.py", "def f(:\n")
    for text in (
        "import sibling, numpy\nsibling.f(numpy.zeros((2, 2)))\n",
        "import failing\n",
        "def f():\n    import failing\nf()\n",
        "import importlib\nimportlib.import_module('failing')\n",
        "import wrong\n",
        "try:\n    import failing\nexcept ValueError:\n    import wrong\n",
    ):
        bench.write("program.py", text)
        for words in (["program.py"], ["-m", "program"]):
            plain, ours = bench.both(*words)
            assert (ours.out, ours.err, ours.status) == (plain.out, plain.err, plain.status), (text, words)
            assert plain.status == 1
