"""More statements of the random programs: objects, calls that outlive a statement, ways out, and what is left behind."""

from __future__ import annotations

import math

from source import AUGMENT, Author
from statements import SMALL, augmented, nested, statement

# Classes and functions that every module has, for vectors of `n` elements.
HEAD = """
@dataclasses.dataclass
class Cell:
    a: np.ndarray
    b: np.ndarray


class Layer:
    kept = None

    def __init__(self, n):
        self.buffer, self.calls = np.linspace(0.2, -0.4, n), 0

    def step(self, v):
        self.calls += 1
        self.buffer[1:] += 0.3 * v[:-1]
        self.buffer *= np.cos(v[0])
        self.last = v
        return self.buffer * 0.5

    @property
    def first(self):
        return self.buffer[0]


def walk(v, scale):
    for i in range(len(v)):
        v[i] = np.sin(v[i]) * scale + 0.1 * v[i - 1]
        yield v[i] * 1.0


def descend(v, depth):
    if depth and len(v) > 1:
        v[:-1] += 0.2 * v[1:]
        return descend(v[::-1][1:], depth - 1) + np.sum(v)
    v *= 0.9
    return np.prod(np.cos(v))


def remember(value):
    global LAST
    LAST = value
    return value


LAST = None
"""


def vector(a: Author) -> tuple[str, int] | None:
    found = a.some(2, 1)
    return (found[0], found[1][0]) if found else None


@statement
def dataclass(a: Author) -> None:
    cell = a.fresh("cell")
    parts = [a.pick(a.places()) for _ in range(2)]
    a.say(f"{cell} = Cell({parts[0][0]}, {a.pick(('{}', 'np.copy({})', '0.5 * {}')).format(parts[1][0])})")
    a.boxes[cell] = [(f"{cell}.{field}", s) for field, (_, s) in zip("ab", parts, strict=True)]
    place, shape = a.pick(a.boxes[cell])
    a.say(augmented(a, place, shape) if a.chance(50) else f"{place} = {a.squashed(shape, 1)}")


@statement
def layer(a: Author) -> None:
    n = a.dims[0]
    given = a.of_shape((n,))
    if not given:
        return
    made = a.fresh()
    a.say(f"{made} = layer.step({a.pick(given)})")
    a.arrays[made] = (n,)
    a.say(
        a.pick(
            (
                "layer.kept = layer.buffer[::2]",
                "total = total + layer.first",
                f"layer.kept = {made}, total",
                "Layer.kept = [total]",
            )
        )
    )


@statement
def chain_of_views(a: Author) -> None:
    found = vector(a)
    if found and found[1] > 3:
        name, n = found
        made = a.fresh()
        a.say(f"{made} = {name}[::-1][1:][::-2]")
        a.arrays[made] = ((n - 1 + 1) // 2,)
        a.say(augmented(a, f"{made}[::-1]", a.arrays[made], a.pick(AUGMENT[:3])))


@statement
def shape_in_place(a: Author) -> None:
    name, shape = a.some(2)
    made = a.fresh()
    size = math.prod(shape)
    a.say(f"{made} = {a.pick(('np.copy({})', 'np.sin({})', 'np.zeros_like({})')).format(name)}")
    a.say(f"{made}.shape = {a.pick(((size,), (1, size), (size, 1)))}")
    a.say(f"{made}.shape = {(size,)}")
    a.arrays[made] = (size,)


@statement
def generated(a: Author) -> None:
    found = vector(a)
    if not found:
        return
    each, form = a.fresh("g"), a.rng.randrange(4)
    call = f"walk({found[0]}, {a.scalar(0)})"
    if form == 0:
        with a.block(f"for {each} in {call}:"):
            a.say(f"total += {each} * 0.3")
            nested(a, 1)
    elif form == 1:
        a.say(f"{each} = {call}")
        a.say(f"total = total + next({each}) * 0.7")
        nested(a, 1)
        a.say(f"total = total + next({each}, 0.0)")
    elif form == 2:
        a.say(f"total = total + sum({call}) + sum(e * 0.2 for e in {found[0]})")
    else:
        made = a.fresh()
        a.say(f"{made} = np.array(list({call}))")
        a.arrays[made] = (found[1],)


@statement
def recursion(a: Author) -> None:
    found = vector(a)
    if found:
        a.say(f"total = total + 0.3 * np.tanh(descend({found[0]}, {a.rng.randrange(4)}))")


@statement
def nonlocal_name(a: Author) -> None:
    inner = a.fresh("inner")
    with a.block(f"def {inner}(t, *rest, scale=0.5):"):
        a.say("nonlocal total")
        a.say(f"total = total + scale * np.sum(t) * {a.pick(('1.0', 'len(rest)', '0.3'))}")
        name, shape = a.some()
        a.say(augmented(a, f"{name}[...]", shape, a.pick(("+=", "*="))))
        a.say("return t")
    name, shape = a.some()
    made = a.fresh()
    a.say(f"{made} = {inner}({name}, 1, 2, scale={a.number()})")
    a.arrays[made] = shape


@statement
def left_behind(a: Author) -> None:
    """Stored where it can be seen after the call."""
    name, _ = a.some()
    value = a.pick(
        (name, f"{name} * 1.0", f"({name}, total)", f"[{name}[...], {{'t': total}}]", "total", f"{name}.T")
    )
    a.say(a.pick((f"remember({value})", f"TABLE['left'] = {value}", f"ROWS.append({value})", f"HELD.left = {value}",
                  f"f.left = {value}", f"TABLE.setdefault('first', {value})", f"TABLE['deep'] = {{'list': [{value}]}}")))  # fmt: skip


@statement
def way_out(a: Author) -> None:
    """An early return, a loop that is left, a handler and a finally."""
    form = a.rng.randrange(4)
    name, shape = a.some()
    change = augmented(a, f"{name}[...]", shape)
    if form == 0 and a.deep == 0:
        a.say(f"if {a.scalar(0)} > {abs(float(a.threshold())) + 0.4:.6f}:")
        a.say(f"    return total + np.sum(np.sin({name}) * 0.7)")
    elif form == 1:
        i = a.fresh("i")
        with a.block(f"for {i} in range(3):"):
            a.say(change)
            a.say(f"if {i} == 1 and {a.scalar(0)} > {a.threshold()}:")
            a.say(f"    {a.pick(('break', 'continue'))}")
            nested(a, 1)
    elif form == 2:
        with a.block("try:"):
            nested(a, 1)
            a.say(f"if {a.scalar(0)} > {a.threshold()}:")
            a.say("    raise ValueError('on purpose')")
            a.say(change)
        a.say("except ValueError as error:")
        a.say(f"    total = total + len(error.args) * np.sum({name}) * 0.1")
        a.say("finally:")
        a.say(f"    {augmented(a, f'{name}[...]', shape)}")
    else:
        a.say("with np.errstate(all='ignore'):")
        a.say(f"    {change}")


@statement
def complex_part(a: Author) -> None:
    name, shape = a.some()
    z, made = a.fresh("z"), a.fresh()
    a.say(f"{z} = {name} + 1j * {a.pick(SMALL).format(a.array(shape, 1))}")
    a.say(a.pick((f"{z} *= np.exp(0.3j * {name})", f"{z}.real[...] = np.sin({z}.imag)", f"{z}.imag *= 0.5", f"{z} = np.conj({z}) / (2.0 + {z} ** 2)",
                  f"{z}[...] = {z}[::-1].copy() * (0.4 - 0.7j)", f"{z} += np.sqrt({z} + 3.0)", f"{z} = np.fft.fft({z}, axis=0) * 0.3")))  # fmt: skip
    a.say(
        f"{made} = {a.pick(('np.abs({0} + 4.0) * 0.2', '{0}.real', '{0}.imag * 1.0', 'np.angle({0} + 5.0)', '({0} * np.conj({0})).real')).format(z)}"
    )
    a.arrays[made] = shape


@statement
def pairs(a: Author) -> None:
    left, right = vector(a), vector(a)
    if left and right:
        made = a.fresh()
        a.say(f"{made} = np.array([p * q for p, q in zip({left[0]}, reversed({right[0]}))])")
        a.arrays[made] = (min(left[1], right[1]),)
        a.say(
            f"total = total + max({made}[0], {a.threshold()}) * abs({made}[-1]) + min(map(float, [{a.number()}, {a.number()}]))"
        )
        a.say(f"if (peak := np.max({made})) > {a.threshold()}:")
        a.say("    total = total + peak * 0.2")
