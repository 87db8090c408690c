"""The statements of the random programs, a function a kind: each writes lines that are right for the names and shapes known so far."""

from __future__ import annotations

import math
from collections.abc import Callable

from source import AUGMENT, Author, Shape

STATEMENTS: dict[str, Callable[[Author], None]] = {}


def statement(function: Callable[[Author], None]) -> Callable[[Author], None]:
    STATEMENTS[function.__name__] = function
    return function


def nested(a: Author, most: int = 3) -> None:
    """Some statements inside a block."""
    for _ in range(a.rng.randrange(1, most + 1)):
        a.pick([s for name, s in STATEMENTS.items() if a.deep < 2 or name not in BLOCKS])(a)


def augmented(a: Author, target: str, shape: Shape, operator: str | None = None) -> str:
    operator = operator or a.pick(AUGMENT)
    value = a.other(shape, 1)
    if operator == "/=":
        return f"{target} /= 1.4 + np.cos({value})"
    return f"{target} {operator} {a.pick(SMALL).format(value)}"


SMALL = ("np.sin({})", "0.4 * np.tanh({})", "0.7 * np.cos({})")


# ----- names and views


@statement
def make(a: Author) -> None:
    shape = a.pick(list(a.arrays.values()))
    text = a.squashed(shape)
    name = a.fresh()
    a.say(f"{name} = {text}")
    a.arrays[name] = shape


@statement
def make_buffer(a: Author) -> None:
    shape = a.pick(list(a.arrays.values()))
    other = a.pick(a.of_shape(shape) or ["x"])
    form = a.pick([f"np.zeros({shape})", f"np.full({shape}, 0.25)", f"np.zeros_like({other})", f"np.ones({shape})", f"np.copy({other})",
                   f"{other}.copy()", f"np.array({other})", f"np.empty({shape})", f"{other} * 1.0", f"np.array({other}, copy=False)"])  # fmt: skip
    name = a.fresh()
    a.say(f"{name} = {form}")
    if "empty" in form:
        a.say(f"{name}[...] = {a.number()}")
    a.arrays[name] = shape


@statement
def rebind(a: Author) -> None:
    name, shape = a.pick([(n, s) for n, s in a.arrays.items() if n not in a.frozen])
    if name not in ("BUFFER", "GRID"):
        a.say(f"{name} = {a.squashed(shape, 1) if a.chance(60) else a.pick(a.of_shape(shape))}")


@statement
def scalar(a: Author) -> None:
    text = a.scalar(2)
    name = a.fresh("s")
    a.say(
        f"{name} = {a.pick(('math.tanh({})', 'math.sin({})', 'np.tanh({})', 'float(np.sin({}))', 'math.cos(float({}))')).format(text)}"
    )
    a.scalars.append(name)


@statement
def scalar_augmented(a: Author) -> None:
    if a.scalars:
        a.say(f"{a.pick(a.scalars)} {a.pick(('+=', '*=', '-='))} 0.3 * np.cos({a.scalar(1)})")


@statement
def view(a: Author) -> None:
    name, shape = a.some()
    index, result = a.part(shape)
    forms = [(f"{name}[{index}]", result)] * 4 + [(f"{name}.T", shape[::-1]), (f"{name}[::-1]", shape), (f"{name}.ravel()", (math.prod(shape),)),
             (f"{name}.view()", shape), (f"{name}[...]", shape), (f"np.flip({name})", shape), (f"np.asarray({name})", shape),
             (f"{name}.squeeze()", tuple(n for n in shape if n > 1))]  # fmt: skip
    if len(shape) == 2:
        n, m = shape
        forms += [(f"{name}.reshape({m}, {n})", (m, n)), (f"{name}.reshape(-1)", (n * m,)), (f"np.transpose({name})", (m, n)), (f"{name}[:, {m - 1}]", (n,)),
                  (f"{name}.T.reshape(-1)", (n * m,)), (f"np.swapaxes({name}, 0, 1)", (m, n)), (f"{name}.T[::-1]", (m, n)),
                  (f"np.split({name}, {n})[0]", (1, m)), (f"{name}.flatten()", (n * m,))]  # fmt: skip
    elif len(shape) == 1:
        n = shape[0]
        forms += [(f"{name}[:, None]", (n, 1)), (f"{name}.reshape(1, -1)", (1, n)), (f"np.atleast_2d({name})", (1, n)),
                  (f"np.expand_dims({name}, 1)", (n, 1))]  # fmt: skip
        forms += [
            (f"{name}.reshape(2, {n // 2})", (2, n // 2)),
            (f"{name}.reshape(-1, 2)[::-1]", (n // 2, 2)),
        ] * (n % 2 == 0)
    text, result = a.pick(forms)
    if result:
        made = a.fresh()
        a.say(f"{made} = {text}")
        a.arrays[made] = result


# ----- writes


@statement
def write_part(a: Author) -> None:
    name, shape = a.some()
    index, result = a.part(shape)
    a.say(f"{name}[{index}] = {a.squashed(result) if a.chance(80) else a.other(result, 0)}")


@statement
def write_element(a: Author) -> None:
    name, shape = a.some()
    index = ", ".join(str(a.rng.randrange(-n, n)) for n in shape)
    a.say(f"{name}[{index}] {a.pick(('=', '=', '+=', '*='))} np.sin({a.scalar(1)})")


@statement
def augment_part(a: Author) -> None:
    name, shape = a.some()
    index, result = a.part(shape)
    a.say(augmented(a, f"{name}[{index}]", result))


@statement
def augment(a: Author) -> None:
    name, shape = a.some()
    if (name in a.arrays and name not in ("BUFFER", "GRID")) or "[" in name:
        a.say(augmented(a, name, shape))
    else:
        a.say(augmented(a, f"{name}[:]", shape))


@statement
def overlap(a: Author) -> None:
    name, shape = a.some(2)
    if shape[0] > 1:
        forms = [f"{name}[1:] = {name}[:-1]", f"{name}[:-1] = {name}[1:]", f"{name}[:] = {name}[::-1]", f"{name}[1:] += 0.3 * {name}[:-1]",
                 f"{name}[1:] *= np.cos({name}[:-1])", f"{name}[...] = {name}", f"np.add({name}[1:], {name}[:-1], out={name}[1:])",
                 f"{name} = {name}[::-1]" if name in a.arrays and name not in ("BUFFER", "GRID") and name not in a.frozen else f"{name}[:] = {name}[::-1]"]  # fmt: skip
        a.say(a.pick(forms))


@statement
def mask(a: Author) -> None:
    name, shape = a.some()
    other = a.array(shape, 1)
    condition = f"{name} > {a.threshold()}" if a.chance(50) else f"{other} < {a.threshold()}"
    forms = [f"{name}[{condition}] = {a.scalar(0)}", f"{name}[{condition}] *= np.sin({a.scalar(0)})", f"{name}[{condition}] += 0.2",
             f"m = {condition}", f"np.putmask({name}, {condition}, {a.scalar(0)})", f"np.copyto({name}, {a.other(shape, 1)}, where={condition})",
             f"np.place({name}, {condition}, np.sin({a.of_shape(shape)[0]}))", f"np.multiply({name}, 0.7, out={name}, where={condition})",
             f"{name}[np.nonzero({condition})] = 0.41", f"np.putmask({name}, {condition}, {other})"]  # fmt: skip
    text = a.pick(forms)
    a.say(text)
    if text.startswith("m ="):
        a.say(f"{name}[m] = np.tanh({other})[m]")
        a.say(f"{name}[~m] -= 0.3 * {name}[~m] ** 2")


@statement
def fancy(a: Author) -> None:
    name, shape = a.some()
    index = a.fancy(shape[0])
    result = (len(index), *shape[1:])
    unique = sorted({i % shape[0] for i in index})
    again = unique[::-1]
    forms = [f"{name}[{index}] = {a.squashed(result, 1)}", augmented(a, f"{name}[{index}]", result), f"{name}[{unique}] = {name}[{again}]",
             f"np.add.at({name}, {index}, {a.squashed(result, 1)})", f"np.subtract.at({name}, {index}, {a.scalar(0)})",
             f"np.multiply.at({name}, {index}, {a.pick(SMALL).format(a.array(result, 1))})", f"{name}[np.array({index})] *= 0.6",
             f"np.maximum.at({name}, {index}, {a.squashed(result, 1)})", f"np.negative.at({name}, {unique})"]  # fmt: skip
    a.say(a.pick(forms))


@statement
def reused(a: Author) -> None:
    """Indices, masks and constants that are made here, used, and overwritten afterwards."""
    name, shape = a.some()
    n, rest = shape[0], shape[1:]
    made = a.fresh()
    kind = a.rng.randrange(4)
    if kind == 0:
        a.say("places = np.zeros(2, int)")
        a.say(f"places[:] = [{a.rng.randrange(n)}, {a.rng.randrange(n)}]")
        a.say(f"{made} = {name}[places] * 1.2")
        a.say(
            a.pick(
                [f"places[:] = {a.rng.randrange(n)}", "places[0] = places[1]", "places *= 0", "places.sort()"]
            )
        )
        a.arrays[made] = (2, *rest)
    elif kind == 1:
        a.say(f"chosen = np.zeros({n}, bool)")
        a.say(f"chosen[{a.rng.randrange(n)}] = True")
        a.say(f"{made} = np.tanh({name}[chosen])")
        a.say(f"{name}[chosen] = {a.scalar(0)}")
        a.say(a.pick(["chosen[:] = True", "chosen[...] = ~chosen", "chosen |= True"]))
        a.arrays[made] = (1, *rest)
    else:
        a.say(f"fixed = np.full({shape}, {a.scalar(0) if kind == 2 else '0.7'})")
        a.say(
            f"{made} = fixed * {name}"
            if a.chance(50)
            else f"{made} = np.where(fixed > 0.2, {name} ** 2, fixed)"
        )
        a.say(
            a.pick(
                [
                    "fixed[...] = 0.1",
                    "fixed += 1.0",
                    "fixed *= -2.0",
                    f"fixed[0] = {a.scalar(0)}",
                    "fixed.fill(3.0)",
                ]
            )
        )
        a.arrays[made] = shape


@statement
def put(a: Author) -> None:
    name, shape = a.some()
    size = math.prod(shape)
    index = [a.rng.randrange(size) for _ in range(3)]
    forms = [f"np.put({name}, {index}, {a.squashed((3,), 1)})", f"{name}.put({index}, {a.scalar(0)})", f"{name}.fill({a.scalar(1)})",
             f"{name}.flat[{index[0]}] = np.sin({a.scalar(0)})", f"{name}.flat[{index[0]}::2] = {a.scalar(0)}", f"np.put_along_axis({name}, np.argsort({name}, axis=0)[:1], {a.scalar(0)}, axis=0)",
             f"{name}.sort()", f"{name}.sort(axis=0)", f"{name}.flat = {a.scalar(0)}", f"{name}.partition(0)", f"{name}.flat[{index}] = 0.2 * {a.scalar(0)}"]  # fmt: skip
    if len(shape) == 2:
        forms += [f"np.fill_diagonal({name}, {a.scalar(0)})"] * 3 + [
            f"{name}[np.triu_indices({shape[0]}, 0, {shape[1]})] *= 0.5"
        ] * 2
    a.say(a.pick(forms))


@statement
def copyto(a: Author) -> None:
    name, shape = a.some()
    a.say(f"np.copyto({name}, {a.pick(SMALL).format(a.other(shape, 2))})")


@statement
def out(a: Author) -> None:
    name, shape = a.some()
    left, right = a.array(shape, 1), a.other(shape, 1)
    forms = [f"np.multiply({left}, np.cos({right}), out={name})", f"np.sin({left}, out={name})", f"np.tanh({name}, {name})",
             f"np.subtract({left}, {right}, {name})", f"np.cumsum({name}, axis=0, out={name})", f"np.divide({left}, 1.3 + np.abs({right}), out={name})",
             f"np.clip({left}, -0.7003, 0.8007, out={name})", f"np.maximum({left}, {a.threshold()}, out=({name},))"]  # fmt: skip
    if len(shape) == 1:
        grids = [(e, s) for e, s in a.places() if len(s) == 2 and s[1] == shape[0]]
        if grids:
            grid, its = a.pick(grids)
            forms += [f"np.sum({grid}, axis=0, out={name})", f"np.add.reduce({grid}, 0, out={name})", f"{grid}.mean(axis=0, out={name})",
                      f"np.dot({a.squashed(its[:1], 1)}, {grid}, out={name})"] * 2  # fmt: skip
    text = a.pick(forms)
    if ".dot(" in text:  # its output must be contiguous
        made = a.fresh()
        a.say(f"{made} = np.zeros({shape})")
        a.say(text.replace(f"out={name})", f"out={made})"))
        a.arrays[made] = shape
    else:
        a.say(text)


@statement
def swap(a: Author) -> None:
    name, shape = a.some(2)
    n = shape[0]
    i, j = a.rng.randrange(n), a.rng.randrange(n)
    forms = [
        f"{name}[{i}], {name}[{j}] = {name}[{j}] * 1.0, {name}[{i}] * 0.9",
        f"{name}[[{i}, {j}]] = {name}[[{j}, {i}]]",
        f"{name}[{i}], {name}[{j}] = {name}[{j}], {name}[{i}]",
    ]
    same = [e for e in a.of_shape(shape) if e != name and e not in a.frozen and e not in ("BUFFER", "GRID")]
    if same and name not in a.frozen and name not in ("BUFFER", "GRID"):
        other = a.pick(same)
        forms += [f"{name}, {other} = {other}, {name}"] * 2
    h = n // 2
    if h:
        forms += [
            f"{name}[:{h}], {name}[{h}:{2 * h}] = {name}[{h}:{2 * h}], {name}[:{h}]",
            f"{name}[:{h}], {name}[{h}:{2 * h}] = {name}[{h}:{2 * h}].copy(), {name}[:{h}].copy()",
        ]
    a.say(a.pick(forms))


# ----- containers, helpers


@statement
def container(a: Author) -> None:
    box = a.fresh("box")
    parts = [a.pick(a.places()) for _ in range(2)]
    if a.chance(50):
        a.say(f"{box} = [{parts[0][0]}, {a.pick(SMALL).format(parts[1][0])}]")
        a.boxes[box] = [(f"{box}[{i}]", s) for i, (_, s) in enumerate(parts)]
        if a.chance(50):
            name, shape = a.some()
            a.say(f"{box}.append({name} * 0.9)")
            a.boxes[box].append((f"{box}[-1]", shape))
    else:
        a.say(f'{box} = {{"u": {parts[0][0]}, "v": {{"w": {parts[1][0]}}}}}')
        a.boxes[box] = [(f'{box}["u"]', parts[0][1]), (f'{box}["v"]["w"]', parts[1][1])]


@statement
def store_in_container(a: Author) -> None:
    held = [p for parts in a.boxes.values() for p in parts] + [("held.a", a.arrays["held.a"])]
    place, shape = a.pick(held)
    a.say(f"{place} = {a.squashed(shape, 1)}" if a.chance(50) else augmented(a, place, shape))


@statement
def walk_container(a: Author) -> None:
    lists = [
        name
        for name in a.boxes
        if name.startswith("box")
        and name != "box"
        and any("[-1]" in e or "[0]" in e for e, _ in a.boxes[name])
    ]
    if lists:
        box, each = a.pick(lists), a.fresh("e")
        a.say(f"for {each} in {box}:")
        a.say(
            f"    {a.pick([f'{each} *= 0.7', f'{each}[0] = 0.2', f'np.sin({each}, out={each})', f'total += np.sum({each}) * 0.1', f'{each} += np.sum({each}) * 0.1'])}"
        )


def write_helpers(a: Author) -> None:
    """Functions that mutate what they get."""
    n, rows, columns = a.dims
    bodies = ["u[1:] += 0.4 * v[:-1]", "u *= np.cos(v[0])", "u[:] = np.tanh(v[::-1])", "u[0], u[-1] = v[-1] * 1.0, v[0]", "np.add(u, v, out=u)", "v[::2] = u[::2]",
              "u[v > 0.1003] -= 0.5", "for i in range(1, len(u)):\n        u[i] = 0.5 * u[i - 1] + np.sin(v[i])", "u, v = v, u\n    v -= 0.2 * u ** 2",
              "v.sort()", "u.T[...] = np.sin(v.T)", "u.flat[1] = math.sin(float(v.flat[0]))",
              "w = u\n    w += 0.1\n    v[...] = w * 0.5"]  # fmt: skip
    for i in range(2):
        shape = a.pick([(n,), (columns,)] if i == 0 else [(n,), (rows, columns)])
        fitting = [
            b
            for b in bodies
            if len(shape) == 1 or not any(s in b for s in ("u[0], u[-1]", "for i", "u *= np.cos", "u[1:]"))
        ]
        a.head += ["", f"def h{i}(u, v):", *(f"    {a.pick(fitting)}" for _ in range(a.rng.randrange(1, 4)))]
        a.head += [f"    return {a.pick(['u', 'v', 'u * v', 'u[::-1]', 'np.sin(u) + v'])}", ""]
        a.helpers.append((f"h{i}", shape, shape))


@statement
def call_helper(a: Author) -> None:
    name, first, second = a.pick(a.helpers)
    u, v = (a.of_shape(s) for s in (first, second))
    if u and v:
        left, right = a.pick(u), a.pick(v) if a.chance(70) else f"np.sin({a.pick(v)})"
        made = a.fresh()
        a.say(f"{made} = {name}({left}, {right})")
        a.arrays[made] = first


@statement
def closure(a: Author) -> None:
    inner = a.fresh("inner")
    name, shape = a.some()
    arguments = "(t)" if a.chance(50) else "(t, k=0.5)"
    with a.block(f"def {inner}{arguments}:"):
        index, result = a.part(shape)
        a.say(augmented(a, f"{name}[{index}]", result, a.pick(("+=", "*="))))
        a.say(f"return np.tanh({a.pick(a.of_shape(shape))} * t)")
    made = a.fresh()
    if name.split("[")[0].split(".")[0] not in a.frozen:
        a.say(f"{made} = {inner}({a.scalar(0)})")
        a.arrays[made] = shape


# ----- blocks


@statement
def loop(a: Author) -> None:
    name, shape = a.some(2)
    n = shape[0]
    kind = a.rng.randrange(5)
    if kind == 0 and n > 1:
        i = a.fresh("i")
        with a.block(f"for {i} in range(1, {n}):"):
            forms = [f"{name}[{i}] = 0.5 * {name}[{i} - 1] + np.sin({name}[{i}])", f"{name}[{i}:] += 0.2 * {name}[{i} - 1]",
                     f"{name}[{i}], {name}[{i} - 1] = {name}[{i} - 1] * 0.9, {name}[{i}] * 1.0", f"total = total + np.sum({name}[{i}] * {name}[-{i}])",
                     f"{name}[-{i}] *= np.cos({name}[{i} - 1])"]  # fmt: skip
            a.say(a.pick(forms))
            if a.chance(40):
                nested(a, 2)
    elif kind == 1:
        with a.block(f"for _ in range({a.rng.randrange(1, 4)}):"):
            nested(a)
    elif kind == 2:
        row = a.fresh("row")
        with a.block(f"for {row} in {name}:"):
            if len(shape) == 1:
                a.say(f"total += np.sin({row}) * 0.3")
            else:
                a.say(augmented(a, row, shape[1:]))
    elif kind == 3:
        i, e = a.fresh("i"), a.fresh("e")
        with a.block(f"for {i}, {e} in enumerate({name}):"):
            a.say(
                a.pick(
                    [
                        f"total += {i} * 0.1 * np.sum({e})",
                        f"{name}[{i}] = np.cos({e})",
                        f"{name}[{i}] *= 0.8",
                        f"{name}[-1] = np.tanh({e})",
                    ]
                )
            )
    else:
        k = a.fresh("k")
        a.say(f"{k} = 0")
        with a.block(f"while {k} < {a.rng.randrange(1, 4)}:"):
            a.say(f"{k} += 1")
            nested(a, 2)


@statement
def branch(a: Author) -> None:
    condition = a.pick((f"np.sum({a.some()[0]}) > {a.threshold()}", f"{a.scalar(0)} < {a.threshold()}", f"float({a.scalar(0)}) > {a.threshold()}",
                        f"np.any({a.some()[0]} > {a.threshold()})", f"np.max({a.some()[0]}) > {a.threshold()} and {a.scalar(0)} > {a.threshold()}"))  # fmt: skip
    with a.block(f"if {condition}:"):
        nested(a)
    if a.chance(60):
        with a.block("else:"):
            nested(a)


@statement
def guarded(a: Author) -> None:
    with a.block("try:"):
        nested(a, 2)
        if a.chance(50):
            a.say('raise KeyError("on purpose")')
    a.say("except KeyError:")
    name, shape = a.some()
    a.say("    " + augmented(a, f"{name}[...]", shape))


@statement
def comprehension(a: Author) -> None:
    name, shape = a.some(2)
    made = a.fresh()
    if len(shape) == 1:
        a.say(
            f"{made} = np.array([{a.pick(('math.sin(e)', 'np.sin(e)', 'e * e', 'float(e) * 0.5', 'max(e, 0.100317)'))} for e in {name}])"
        )
    else:
        a.say(f"{made} = np.stack([np.tanh(row[::-1]) for row in {name}])")
    a.arrays[made] = shape


BLOCKS = {"loop", "branch", "guarded", "closure"}
