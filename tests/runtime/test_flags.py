"""The flags that rewritten code asks before it names a place: set while a place that asks them is awake."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pytest

import minpy
from minpy import places
from minpy.runtime import entry, flags
from minpy.runtime.jit import sites
from minpy.runtime.tape import Tape
from minpy.transform import hook, rewriter
from minpy.transform.rewriter import Options

TEXT = """\
import numpy as np
def f(a, data):
    for i in range(len(a)):
        a[i] = 2.0 * a[i] + 1.0
    for each in data:
        a[0] += each
    return np.exp(a) - a
"""


@pytest.fixture
def flag() -> Any:
    name = places.flag_of(places.LOOPS, 7, "fedc0000")
    before = getattr(entry.routed, name), flags._awake.pop(name, set())
    yield name
    setattr(entry.routed, name, before[0])
    flags._awake[name] = before[1]
    flags._unasked.pop(name, None)
    flags._until.pop(name, None)
    flags._asked.difference_update(("one", "two", "late one", "late two", "never seen"))


def test_a_flag_is_set_until_the_last_place_sleeps(flag) -> None:
    flags.wake(flag, "one")
    flags.wake(flag, "two")
    flags.sleep(flag, "one")
    flags.sleep(flag, "one")
    assert getattr(entry.routed, flag) is True
    flags.sleep(flag, "two")
    assert getattr(entry.routed, flag) is False
    flags.wake(flag, "one")
    assert getattr(entry.routed, flag) is True
    flags.sleep(flag, "never seen")
    assert getattr(entry.routed, flag) is True


def test_a_place_woken_by_another_thread_while_one_falls_asleep_is_asked(flag, monkeypatch) -> None:
    class Waking(set):
        """Lets the other thread in between the look at the places and the flag."""

        def __bool__(self) -> bool:
            empty = len(self) == 0
            if empty:
                flags.wake(flag, "two")
            return not empty

    flags._awake[flag] = Waking({"one"})
    flags.sleep(flag, "one")
    assert getattr(entry.routed, flag) is True


def test_a_new_module_is_asked_though_its_flags_were_off(flag) -> None:
    flags.wake(flag, "one")
    flags.sleep(flag, "one")
    code = compile(f"def f():\n    return lambda: __minpy__.{flag}\n", "program.py", "exec")
    assert places.places_in(code) == {flag: set()}
    assert hook.announce(code) is code
    assert getattr(entry.routed, flag) is True


def test_rewritten_code_asks_flags_that_there_are() -> None:
    code = rewriter.compile_source(TEXT, "program.py", Options())
    found = places.places_in(code)
    assert {each[0] for each in found} == {places.BLOCKS, places.LOOPS}
    # Two loops and a block: each with one of its own.
    assert [len(names) for names in found.values()] == [1, 1, 1]
    assert all(hasattr(entry.routed, each) for each in found)


def test_a_place_that_was_not_asked_yet_keeps_its_flag_set(flag, monkeypatch) -> None:
    """One module's places go to sleep, or give up, before a place of another one, with the same flag, is met at all."""
    monkeypatch.setattr(flags, "_NEW", 1000.0)
    flags.expect({flag: {"one", "two"}})
    flags.sleep(flag, "one")
    assert getattr(entry.routed, flag) is True
    flags.look()
    assert getattr(entry.routed, flag) is True
    flags.sleep(flag, "two")  # asked, and not to be compiled
    flags.look()
    assert getattr(entry.routed, flag) is False and flag not in flags._until
    flags.expect({flag: {"one", "two"}})  # the module again, whose places are known
    flags.sleep(flag, "one")
    assert getattr(entry.routed, flag) is False


def test_a_place_that_is_not_asked_for_long_gets_moments(flag, monkeypatch) -> None:
    monkeypatch.setattr(flags, "_NEW", -1.0)
    flags.expect({flag: {"late one", "late two"}})
    flags.sleep(flag, "late one")
    assert getattr(entry.routed, flag) is False  # asking costs the places that sleep
    seen = []
    monkeypatch.setattr(flags, "_pause", lambda _: seen.append(getattr(entry.routed, flag)))
    flags.look()
    assert seen == [True] and getattr(entry.routed, flag) is False
    monkeypatch.setattr(flags, "_pause", lambda _: flags.wake(flag, "late two"))  # asked in the moment
    flags.look()
    assert getattr(entry.routed, flag) is True
    flags.look()
    assert getattr(entry.routed, flag) is True and flag not in flags._until


LOOP = "import numpy as np\n{}def f(a):\n    for i in range(3):\n        a[i] = i\n    return a\n"


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two modules whose texts have one flag between them, and the name of the second one's loop."""
    monkeypatch.setitem(builtins.__dict__, "__minpy__", entry.routed)
    monkeypatch.setenv("MINPY_JIT", "off")  # loops are asked, and left as they are
    first = rewriter.compile_source(LOOP.format(""), "first.py", Options())
    (wanted,) = [each for each in places.places_in(first) if each[0] == places.LOOPS]
    for count in range(1, 600):
        second = rewriter.compile_source(LOOP.format("\n" * count), "second.py", Options())
        if wanted in places.places_in(second):
            break
    (name,) = places.places_in(second)[wanted]
    (other,) = places.places_in(first)[wanted]
    set_ = {each: getattr(entry.routed, each) for each in places.FLAGS}
    monkeypatch.setattr(flags, "_free", dict.fromkeys(places.FLAGS))
    monkeypatch.setattr(flags, "_awake", {})
    monkeypatch.setattr(flags, "_flags_of", {})
    for place in (name, other):
        flags._asked.discard(place)
        vars(sites.loops).pop(place, None)
    yield first, second, wanted, name
    for each, value in set_.items():
        setattr(entry.routed, each, value)


def asked(code: Any) -> list[str]:
    """The flags of loops that the function in a module's code asks."""
    (function,) = [each for each in code.co_consts if hasattr(each, "co_names")]
    return [each for each in function.co_names if each in places.FLAGS and each[0] == places.LOOPS]


@pytest.mark.parametrize("seconds", [1000.0, -1.0])
@pytest.mark.parametrize("is_full", [False, True])
def test_loops_of_two_modules_with_one_flag(two, monkeypatch, seconds, is_full) -> None:
    """A loop that is left as it is at once does not hide the loop of another module, which is met first much later.

    Only where more places are there than flags it does, when the module is not new any more.
    """
    first, second, wanted, name = two
    monkeypatch.setattr(flags, "_NEW", seconds)
    if is_full:
        monkeypatch.setattr(flags, "_free", {wanted: None})
    spaces: list[dict[str, Any]] = []
    for code in (first, second):  # both modules are imported, then one runs, then the other
        spaces.append({})
        exec(hook.announce(code), spaces[-1])
    spaces[0]["f"](np.zeros(3))
    assert name not in vars(sites.loops)
    spaces[1]["f"](np.zeros(3))
    assert (name in vars(sites.loops)) is (seconds > 0 or not is_full)  # asked


def test_a_module_has_flags_of_its_own(two) -> None:
    first, second, wanted, name = two
    ours, others = hook.announce(first), hook.announce(second)
    assert ours is first and asked(ours) == [wanted]
    (own,) = asked(others)
    assert own != wanted
    assert hook.announce(second) == others  # loaded again
    flags.sleep(wanted, name)
    assert getattr(entry.routed, own) is False and getattr(entry.routed, wanted) is True
    flags.wake(wanted, name)
    assert getattr(entry.routed, own) is True


def test_names_of_the_program_are_no_places() -> None:
    names = "_getframe x_12345678 t_12345678 t__12345678 loop_12345678 tx_1_12345678 _____________"
    code = compile("\n".join(f"x.{name}" for name in names.split()), "program.py", "exec")
    assert places.places_in(code) == {}


def test_the_door_says_what_it_has_without_its_flags() -> None:
    with pytest.raises(AttributeError, match="taping") as caught:
        _ = entry._Unfilled().nothing_of_the_kind
    assert "w00" not in str(caught.value)


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info < (3, 12), reason="get_instructions(adaptive)"
)
def test_the_interpreter_finds_what_idle_code_asks_in_its_fast_ways() -> None:
    import dis

    hook.put_door()
    names: dict[str, Any] = {"__name__": "program"}
    exec(rewriter.compile_source(TEXT, "program.py", Options(jit="off", fuse="off")), names)
    a = np.zeros(64)
    for _ in range(30):
        names["f"](a.copy(), [1.0] * 64)
    loads = [
        each.opname
        for each in dis.get_instructions(names["f"], adaptive=True)
        if each.argval == places.TAPING and each.opname.startswith("LOAD")
    ]
    assert loads and set(loads) == {"LOAD_GLOBAL_BUILTIN"}


def test_the_built_in_name_says_what_the_door_says() -> None:
    assert entry.routed.taping is False and getattr(builtins, places.TAPING) is False
    with Tape():
        assert entry.routed.taping is True and getattr(builtins, places.TAPING) is True
    assert entry.routed.taping is False and getattr(builtins, places.TAPING) is False
    seen: list[bool] = []

    def f(x: Any) -> Any:
        seen.append(getattr(builtins, places.TAPING))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        minpy.grad(f)(np.ones(3))
    assert seen == [True] and getattr(builtins, places.TAPING) is False


@pytest.mark.parametrize("name", [places.TAPING, "__minpy__"])
def test_a_module_with_such_a_name_of_its_own_is_left_alone(name) -> None:
    plan = rewriter.plan(f"import numpy as np\n{name} = 1\nnp.exp(1)\n", Options())
    assert plan.is_empty and name in plan.reason
    emitted = rewriter.plan(
        f"import numpy as np\n{name} = 1\na = np.ones(1)\na[0] = 2\n", Options(), "routed"
    )
    assert "routed.taping" in emitted.apply()


def test_files_that_say_what_they_run_through_ask_their_door() -> None:
    plan = rewriter.plan(TEXT, Options(), "routed")
    assert "routed.taping" in plan.apply() and places.TAPING not in plan.apply()
    assert not any(f"routed.{flag}" in plan.apply() for flag in places.FLAGS)
