"""The plan of edits, emitted text, opting out, bad input."""

# The programs are easier to read on one line.

from __future__ import annotations

import subprocess
import sys
import types

import pytest
from oracle import DEFAULT, DEVICE, OPERATORS

from minpy.errors import RewriteError
from minpy.options import Options
from minpy.transform import rewriter
from minpy.transform.plan import Edit, Lines, Plan


def emitted(text: str, options=DEFAULT) -> str:
    plan = rewriter.plan(text, options, door="routed")
    new = plan.apply()
    compile(new, "<emitted>", "exec")
    assert len(Lines(new).starts) == len(Lines(text).starts)
    return new


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "import numpy as np\nnp.exp(1)\n",
            "import numpy as np; from minpy import routed\nrouted.np.exp(1)\n",
        ),
        (
            "import os\nimport numpy as np, sys  # here\nx = np.exp(1)\n",
            "import os\nimport numpy as np, sys; from minpy import routed  # here\nx = routed.np.exp(1)\n",
        ),
        (
            "import numpy as np; x = np.exp(1)",
            "import numpy as np; from minpy import routed; x = routed.np.exp(1)",
        ),
        (
            "from numpy import (exp,\n  sin)\nexp(1)\n",
            "from numpy import (exp,\n  sin); from minpy import routed\nrouted.np.exp(1)\n",
        ),
        # Something is routed before numpy is imported.
        (
            '"""doc"""\nfrom __future__ import annotations\ndef f(x): return type(x)\nimport numpy as np\n',
            '"""doc"""\nfrom __future__ import annotations; from minpy import routed\n'
            "def f(x): return routed.type(x)\nimport numpy as np\n",
        ),
        (
            "import os\ndef f():\n    import numpy as np\n    return np.exp(1)\n",
            "import os; from minpy import routed\ndef f():\n    import numpy as np\n    return routed.np.exp(1)\n",
        ),
        (
            '"""doc"""\ndef f():\n    import numpy as np\n    return np.exp(1)\n',
            '"""doc"""; from minpy import routed\ndef f():\n    import numpy as np\n    return routed.np.exp(1)\n',
        ),
        (
            "x = 1\ndef f():\n    import numpy as np\n    return np.exp(1)\n",
            "from minpy import routed; x = 1\ndef f():\n    import numpy as np\n    return routed.np.exp(1)\n",
        ),
        (
            "print(type(1))\nimport numpy\n",
            "from minpy import routed; print(routed.type(1))\nimport numpy\n",
        ),
        (
            "#!/usr/bin/python\n# -*- coding: utf-8 -*-\n\ndef f():\n    import numpy as np; return np.exp(1)\n",
            "#!/usr/bin/python\n# -*- coding: utf-8 -*-\nfrom minpy import routed\n"
            "def f():\n    import numpy as np; return routed.np.exp(1)\n",
        ),
        (
            "# about\ndef f():\n    import numpy as np; return np.exp(1)\n",
            "from minpy import routed  # about\ndef f():\n    import numpy as np; return routed.np.exp(1)\n",
        ),
        (
            "def f():\n    import numpy as np; return np.exp(1)\n",
            'def f():\n    import numpy as np; return __import__("minpy").routed.np.exp(1)\n',
        ),
        # The name is taken.
        (
            "import numpy as np\nrouted = 3\nnp.exp(routed)\n",
            "import numpy as np; from minpy import routed as routed_1\nrouted = 3\nrouted_1.np.exp(routed)\n",
        ),
        (
            "import numpy as np\n# routed, routed_1\nnp.exp(1)\n",
            "import numpy as np; from minpy import routed as routed_2\n# routed, routed_1\nrouted_2.np.exp(1)\n",
        ),
        # Nothing to route: nothing is imported.
        ("import numpy as np\nprint(np.pi)\n", "import numpy as np\nprint(np.pi)\n"),
    ],
)
def test_emitted_text(text: str, expected: str) -> None:
    assert emitted(text) == expected
    assert rewriter.plan(expected, OPERATORS, door="routed").is_empty


def test_operators_are_emitted_as_a_person_would_write_them() -> None:
    text = "import numpy as np\ny = a + b*-c\nz = (a  # one\n     - b\n     ) @ c\n"
    assert emitted(text, OPERATORS) == (
        "import numpy as np; from minpy import routed\n"
        "y = routed.op.add(a, routed.op.mul(b, routed.op.neg(c)))\n"
        "z = routed.op.matmul((routed.op.sub(a  # one\n     , b)\n     ), c)\n"
    )


@pytest.mark.parametrize(
    "head",
    [
        "# minpy: off\n",
        "#!x\n#minpy:  off because\n",
        '"""doc"""\n\n# minpy: off\n',
        '"""a\nMINPY_DONT_REWRITE\n"""\n',
    ],
)
def test_opting_out(head: str) -> None:
    plan = rewriter.plan(head + "import numpy as np\nnp.exp(1)\n", OPERATORS)
    assert plan.is_empty
    assert "off" in plan.reason or "MINPY_DONT_REWRITE" in plan.reason


@pytest.mark.parametrize(
    "head", ["x = 1\n# minpy: off\n", "# minpy: official\n", "s = 'minpy: off'\n", "x='MINPY_DONT_REWRITE'\n"]
)
def test_not_opting_out(head: str) -> None:
    assert len(rewriter.plan(head + "import numpy as np\nnp.exp(1)\n", DEFAULT).edits) == 1


def test_a_module_that_uses_the_door_stays() -> None:
    plan = rewriter.plan("import numpy as np\nnp.exp(__minpy__)\n", DEFAULT)
    assert plan.is_empty and "__minpy__" in plan.reason
    plan = rewriter.plan("import numpy as np\nnp.exp(my__minpy__)\n", DEFAULT)
    assert not plan.is_empty


def test_what_is_left_alone_is_noted() -> None:
    text = "import numpy as np\nx: np.zeros(1) = f'{np.exp(1)}' if (np\n.ones)(3) else 1\n"
    plan = rewriter.plan(text, DEFAULT)
    assert plan.is_empty
    assert [note.reason.partition(",")[0] for note in plan.notes] == [
        f"numpy.{name} is array work" for name in ("zeros", "exp", "ones")
    ] or {note.reason.partition(" ")[0] for note in plan.notes} == {"numpy.zeros", "numpy.exp", "numpy.ones"}
    assert {plan.line_col(note)[0] for note in plan.notes} == {2}


@pytest.mark.parametrize(
    "source",
    [
        "import numpy\nx = (1,\n",
        "import numpy\ndef f(:\n",
        "import numpy\n  x = 1\n",
        "import numpy as np\nnp.exp(1)\nreturn np.exp(2)\n",
        "import numpy as np\ndef f():\n    nonlocal y\n    np.exp(1)\n",
        "import numpy as np\nnp.exp(1) = 3\n",
        "import numpy as np\nx = np.exp(1) é$\n",
        "import numpy as np\nnp.exp(1); break\n",
        "import numpy as np\nx = " + "(" * 300 + "1" + ")" * 300,
        "# -*- coding: nonsense -*-\nimport numpy\n",
        b"import numpy\nx = '\xff'\n",
        b"\xef\xbb\xbf# coding: latin-1\nimport numpy\n",
        "import numpy\nx = 1\0\n",
        b"import numpy as np\nnp.exp(1)\nx = 0777\n",
        "import numpy as np\nfrom __future__ import nothing\nnp.exp(1)\n",
        b"\xef\xbb\xbf\xef\xbb\xbfimport numpy as np\nnp.exp(1)\n",
    ],
)
def test_syntax_errors_are_pythons_own(source, tmp_path) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    source = path.read_bytes()
    with pytest.raises((SyntaxError, ValueError)) as expected:
        compile(source, str(path), "exec", dont_inherit=True)
    with pytest.raises((SyntaxError, ValueError)) as found:
        rewriter.compile_source(source, str(path), OPERATORS)
    assert type(found.value) is type(expected.value)
    assert found.value.args == expected.value.args
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbfimport numpy as np\nx = np.exp(1)\n",
        b"# -*- coding: latin-1 -*-\nimport numpy as np\nx = '\xe9', np.exp(1)\n",
        b"#!x\r# vim: set fileencoding=cp1252 :\rimport numpy as np\rx = '\x80', np.exp(1)\r",
        b"# coding=utf-8\r\nimport numpy as np\r\nx = np.exp('''\r\n'''.count('\\r'))\r\n",
        "import numpy as np\nx = np.exp(1)",
        b"import numpy as np\n\x0cx = np.exp(1)\nif x:\n\x0c    y = x + 1\n",
    ],
)
def test_encodings(source) -> None:
    expected: dict = {}
    exec(compile(source, "<test>", "exec"), expected)
    found: dict = {
        "__minpy__": types.SimpleNamespace(np=expected["np"], op=__import__("operator"), type=type)
    }
    code = rewriter.compile_source(source, "<test>", OPERATORS)
    assert "__minpy__" in code.co_names
    exec(code, found)
    assert found["x"] == expected["x"]


def test_what_libcst_cannot_parse_is_a_rewrite_error_that_names_the_line() -> None:
    source = "import numpy as np\ndef f():\n    (x): int\n    return np.exp(1)\n"
    compile(source, "<test>", "exec")
    with pytest.raises(RewriteError, match=r"program\.py, line [34]") as found:
        rewriter.compile_source(source, "program.py", DEFAULT)
    assert found.value.line in (3, 4)


@pytest.mark.parametrize(
    "expression",
    [
        "+".join(["n"] * 1200),
        "n" + "[0]" * 900,
        "n" + ".real" * 900,
        " and ".join(["n"] * 9000),
        "-" * 900 + "n",
    ],
)
def test_deep_nesting(expression: str) -> None:
    limit = sys.getrecursionlimit()
    source = f"import numpy as np\ndef f(n):\n    return {expression}\nx = np.exp(1)\n"
    compile(source, "<test>", "exec")
    try:
        code = rewriter.compile_source(source, "<test>", OPERATORS)
    except RewriteError:
        # From Python 3.12 on, a tree that deep is beyond what Python can hand to its own compiler.
        assert sys.version_info >= (3, 12)
    else:
        assert "__minpy__" in code.co_names
    assert sys.getrecursionlimit() == limit


def test_nothing_is_imported_when_there_is_nothing_to_do() -> None:
    program = (
        "import sys\nfrom minpy.options import Options\nfrom minpy.transform import rewriter\n"
        "rewriter.compile_source(b'x = 1 + 2', 'f.py', Options(profile='operations'))\n"
        "assert not {'libcst', 'numpy', 'mxnet'} & set(sys.modules)\n"
        "rewriter.compile_source(b'import numpy as np; np.exp(1)', 'f.py', Options())\n"
        "assert 'libcst' in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reports() -> None:
    code, edits, reason = rewriter.compile_with_report(
        "import numpy as np\nnp.exp(np.sin(1))\n", "f.py", DEFAULT
    )
    assert (edits, reason) == (2, "")
    code, edits, reason = rewriter.compile_with_report("x = 1\n", "f.py", DEFAULT)
    assert (edits, reason) == (0, "the module does not mention numpy")
    assert code == compile("x = 1\n", "f.py", "exec", dont_inherit=True)


def test_modes() -> None:
    space = {"__minpy__": types.SimpleNamespace(np=__import__("math"), op=None, type=type)}
    exec(rewriter.compile_source("import numpy as np; x = np.sqrt(4)", "f.py", DEFAULT, mode="single"), space)
    assert space["x"] == 2


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(3, 5, "x", ""), Edit(4, 6, "y", "")],
        [Edit(5, 6, "x", ""), Edit(0, 1, "y", "")],
        [Edit(0, 1, "a\nb", "")],
        [Edit(2, 4, "", "")],
        [Edit(90, 95, "x", "")],
    ],
)
def test_a_plan_refuses_edits_that_are_not_in_order(edits) -> None:
    with pytest.raises(ValueError, match="edit"):
        Plan("abc\ndefghij", tuple(edits))


def test_positions_map_both_ways() -> None:
    plan = Plan(
        "é = np + b\r\nnp.x\r", (Edit(4, 6, "door.np", "r"), Edit(6, 6, "(", "r"), Edit(12, 14, "d", "r"))
    )
    assert plan.apply() == "é = door.np( + b\r\nd.x\r"
    assert plan.to_rewritten(1, 9) == (1, 15)
    assert plan.to_original(1, 15) == (1, 9)
    assert plan.to_original(1, 6) == (1, 4)
    assert plan.to_original(1, 6, end=True) == (1, 6)
    assert plan.to_original(2, 1) == (2, 2)
    assert plan.to_rewritten(2, 2, end=True) == (2, 1)
    assert plan.line_col(plan.edits[2]) == (2, 0)
    for col in (0, 4, 7, 10):
        assert plan.to_original(*plan.to_rewritten(1, col)) == (1, col)


@pytest.mark.parametrize(
    "text, routed, with_numbers",
    [
        ("x = 1.0\nfor i in range(9):\n    x = x * 0.5 + i", 0, 2),
        ("k = len(a) + 2\ny = -k % 3", 0, 3),
        ("x = 1.0\ny = x * a", 1, 1),
        ("x = 1.0\nx = a\ny = x * 2", 1, 1),
        ("def f(n):\n    return n - 1", 1, 1),
        ("x = 2\nfor x in a:\n    y = x + 1", 1, 1),
    ],
)
def test_operators_of_numbers_stay_as_they_are(text: str, routed: int, with_numbers: int) -> None:
    source = f"import numpy as np\n{text}\n"
    for options, count in ((OPERATORS, routed), (DEVICE, routed), (Options(nan_check="raise"), with_numbers)):
        found = rewriter.plan(source, options).apply()
        assert found.count("__minpy__.op.") == count, found
