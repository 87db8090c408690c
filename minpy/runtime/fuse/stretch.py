"""Element-wise records of a tape, one after the other, whose part of the sweep is one compiled pass.

A program of many steps leaves the same records at each: those between two products of matrices, say. Where such a
stretch comes again, its derivative rules are called with stand-ins that put down what they do (`graph`), as for a
block; what they come to is compiled as one loop over the elements. So cotangents between the records are never made.
The sums are those of the records one by one, in their order, and so are the bits.

What a stretch looks like is found out once. Code is written that compares the records on a tape with it, by pull,
primitive, geometry and by which cells are the same, and takes the arrays out of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from minpy.runtime import cotangents, ledger
from minpy.runtime.array import Array
from minpy.runtime.fuse import native, pool, sites
from minpy.runtime.fuse.graph import ARRAY, CONSTANT, NUMBER, Graph, Term
from minpy.runtime.fuse.ir import Irregular
from minpy.runtime.fuse.passes import ADD, SET, Pass
from minpy.runtime.fuse.passes_native import NATIVE, NativePass
from minpy.runtime.geometry import covers
from minpy.runtime.pull import forms
from minpy.runtime.storage import COTANGENT, HELD, LAID_OUT, OWN, SHARED

_LEAST, _MOST = 3, 64  # records
_INPUTS, _OUTPUTS = 48, 8
_PATIENCE = 4  # times that a place is met before its stretch is looked for
_FORMS = 4  # of a stretch from one place
_PLACES = 512
_SHARED_WORK = 1 << 20  # elementary operations from which threads share the work
_RECORD = 2e-6  # seconds that each takes beside its work on elements

# By code, instruction and pull of the first record of the sweep: how often it was met, and what was found there.
_places: dict[Any, Place] = {}


class Place:
    """Where in a program stretches begin, seen from the end."""

    __slots__ = ("failures", "met", "stretches")

    def __init__(self) -> None:
        self.met = self.failures = 0
        self.stretches: list[Stretch] = []


def is_on() -> bool:
    """Whether stretches are looked for at all."""
    return sites.mode() != "off" and native.may_be_used()


def pull(tape: Any, records: list[Any]) -> bool:
    """Do the part of the stretch at the end of `records`, which are taken away; False with nothing done without one."""
    first = records[-1]
    key = first[-2], first[-1], first[0]
    place = _places.get(key)
    if place is None:
        if len(_places) >= _PLACES:
            _places.clear()
        place = _places[key] = Place()
    for stretch in place.stretches:
        found = stretch.match(records, tape)
        if found is not None:
            return stretch.ready() and stretch.run(tape, records, found)
    if place.failures >= _FORMS or len(place.stretches) >= _FORMS:
        return False
    place.met += 1
    if place.met >= _PATIENCE or sites.mode() != "auto":
        made = Search(tape, records).found()
        if made is None:
            place.failures += 1
            return False
        place.stretches.append(made)
        found = made.match(records, tape)
        return found is not None and made.ready() and made.run(tape, records, found)
    return False


class Search:
    """Looks at the records at the end of a tape for a stretch."""

    def __init__(self, tape: Any, records: list[Any]) -> None:
        self._tape = tape
        g = records[-1][1][COTANGENT]
        self.shape, self.dtype = g.shape, g.dtype
        self._lines: list[str] = []
        self._space: dict[str, Any] = {"ndarray": ndarray, "S": g.shape, "D": g.dtype, "Array": Array}
        # By identity: the names of cells and arrays in the code, and what is known of the cells' cotangents.
        self._cells: dict[int, str] = {}
        self._terms: dict[int, Term | None] = {}
        self._arrays: dict[int, str] = {}
        self._inputs: list[str] = []
        self.runs: list[bool] = []  # whether each changes along the last axis
        self._gs: list[str] = []  # those of the inputs that are cotangents
        self._numbers: list[str] = []
        self._regions: list[Region] = []
        self._ended: list[int] = []
        self.count = 0
        if self.dtype.char in "fd" and self.dtype.isnative and _moves(g) is not None:
            self.graph = Graph(self.dtype)
            for record in records[: -_MOST - 1 : -1]:
                if not self._takes(record):
                    break
                self.count += 1

    def found(self) -> Stretch | None:
        """The stretch, if it is worth it."""
        left = {
            each: term for each, term in self._terms.items() if term is not None and each not in self._ended
        }
        outputs = [term.number for term in left.values()] + [each.term.number for each in self._regions]
        if self.count < _LEAST or not 1 <= len(outputs) <= _OUTPUTS or len(self._inputs) > _INPUTS:
            return None
        names = [self._cells[each] for each in left]
        ended = [self._cells[each] for each in self._ended]
        text = "def match(records, tape):\n"
        text += f"  if len(records) < {self.count}: return None\n"
        text += "".join(f"  {line}\n" for line in self._lines)
        apart = ", ".join(f"id({each})" for each in self._cells.values())
        text += f"  if len({{{apart}}}) != {len(self._cells)}: return None\n"
        handles = [each.name for each in self._regions]
        parts = [
            f"[{', '.join(each)}]" for each in (names, ended, self._inputs, self._gs, self._numbers, handles)
        ]
        text += f"  return {', '.join(parts)}\n"
        exec(compile(text, "<minpy stretch>", "exec"), self._space)
        whole = _cover(self._regions)
        return Stretch(self, self._space["match"], Pass(self.graph, outputs, [], ()), len(names), whole)

    def _takes(self, record: Any) -> bool:
        """Whether the record belongs to the stretch; then the code knows it."""
        if type(record) is not tuple or record[0] not in forms:
            return False
        form = forms[record[0]]
        cell, handles = record[1], record[2 : 2 + form.handles]
        ans, *operands = record[2 + form.handles : -3]
        k = self.count
        kept = (
            dict(self._cells), dict(self._terms), dict(self._arrays), list(self._inputs), list(self.runs),
            list(self._gs), list(self._numbers), list(self._regions), list(self._ended), len(self._lines),
        )  # fmt: skip
        self._space[f"P{k}"], self._space[f"Q{k}"] = record[0], record[-3]
        words = [f"c{k}", *[f"h{k}_{i}" for i in range(form.handles)], f"a{k}"]
        words += [f"x{k}_{i}" for i in range(len(operands))]
        self._lines += [
            f"r = records[-{k + 1}]",
            f"if type(r) is not tuple or r[0] is not P{k} or r[-3] is not Q{k}: return None",
            f"_, {', '.join(words)}, _, _, _ = r",
        ]
        try:
            self._cell(cell, f"c{k}")
            if id(cell) in {id(each.cell) for each in self._regions}:
                raise Irregular("a cotangent of which parts were added to")
            term = self._terms[id(cell)]
            if term is not None:
                known = len(self.graph.nodes)
                a, *x = [
                    self._operand(value, name)
                    for value, name in zip(
                        (ans, *operands), (f"a{k}", *words[2 + form.handles :]), strict=True
                    )
                ]
                found = form.derive(term, a, x)
                names = {name for name, _ in self.graph.nodes[known:]}
                if not names <= NATIVE | {ARRAY, NUMBER, CONSTANT}:
                    raise Irregular("what is not compiled")
                for i, (handle, d) in enumerate(zip(handles, found, strict=True)):
                    if type(d) is not Term or d.dtype != self.dtype:
                        raise Irregular("no array")
                    self._add(handle, d, f"h{k}_{i}")
            self._ended.append(id(cell))
        except Exception:  # whatever a rule has against stand-ins, it is called with arrays then
            (
                self._cells, self._terms, self._arrays, self._inputs, self.runs,
                self._gs, self._numbers, self._regions, self._ended, lines,
            ) = kept  # fmt: skip
            del self._lines[lines:]
            return False
        return True

    def _cell(self, cell: Any, name: str) -> None:
        """A cell, with the cotangent that it has before the stretch."""
        if id(cell) in self._ended:
            raise Irregular("a cell again")
        if id(cell) in self._cells:
            self._lines.append(f"if {name} is not {self._cells[id(cell)]}: return None")
            return
        self._cells[id(cell)] = name
        have = cell[COTANGENT]
        if have is None:
            self._lines.append(f"if {name}[0] is not None: return None")
            self._terms[id(cell)] = None
            return
        self._lines.append(f"g{name} = {name}[0]")
        self._terms[id(cell)] = self._array(have, f"g{name}")
        self._gs.append(f"g{name}")

    def _array(self, value: Any, name: str) -> Term:
        if (
            type(value) is not ndarray
            or value.shape != self.shape
            or value.dtype is not self.dtype
            or not value.flags.aligned
            or _moves(value) is None
        ):
            raise Irregular("an array of another kind")
        strides = f"T{len(self._space)}"
        self._space[strides] = value.strides
        self._lines.append(
            f"if type({name}) is not ndarray or {name}.shape != S or {name}.dtype is not D"
            f" or {name}.strides != {strides}: return None"
        )
        self._inputs.append(name)
        self.runs.append(bool(_moves(value)))
        return Term(self.graph, self.graph.leaf(ARRAY, len(self._inputs) - 1, self.dtype))

    def _operand(self, value: Any, name: str) -> Any:
        """What a rule sees of what the record holds."""
        kind = type(value)
        if value is None:
            self._lines.append(f"if {name} is not None: return None")
            return None
        if kind is float or kind is int:
            self._space[f"N{name}"], self._space[f"K{name}"] = value, kind
            self._lines.append(f"if type({name}) is not K{name} or {name} != N{name}: return None")
            return value
        if kind is not ndarray:
            raise Irregular("an operand of another kind")
        if id(value) in self._arrays:
            known = self._arrays[id(value)]
            self._lines.append(f"if {name} is not {known}: return None")
            return Term(self.graph, self.graph.leaf(ARRAY, self._inputs.index(known), self.dtype))
        if not value.ndim:
            if value.dtype.char != "d" or self.dtype.char != "d":
                raise Irregular("a number of another kind")
            self._lines.append(
                f"if type({name}) is not ndarray or {name}.shape or {name}.dtype is not D: return None"
            )
            self._numbers.append(f"float({name})")
            return Term(self.graph, self.graph.leaf(NUMBER, len(self._numbers) - 1, 1.0))
        self._arrays[id(value)] = name
        return self._array(value, name)

    def _add(self, handle: Any, d: Term, name: str) -> None:
        """Add to an operand's cotangent."""
        if type(handle) is list:
            self._lines.append(f"if type({name}) is not list: return None")
            self._cell(handle, name)
            if id(handle) in {id(each.cell) for each in self._regions}:
                raise Irregular("a cotangent of which parts were added to")
            before = self._terms[id(handle)]
            self._terms[id(handle)] = d if before is None else before + d
            return
        if type(handle) is not Array or handle._storage is None:
            raise Irregular("an operand of another kind")
        region = Region(handle, d, name)
        storage = region.storage
        if (
            handle.path is None
            or storage.remote is not None
            or storage.tape is not self._tape
            or storage.cell[SHARED]
            or (
                id(storage.cell) in self._cells and all(each.storage is not storage for each in self._regions)
            )
            or handle.window.shape != self.shape
            or not handle.window.dtype is storage.host.dtype is self.dtype
            or not storage.host.flags.c_contiguous
            or not _moves(handle.window)
            or covers(handle.window, storage.host)
        ):
            raise Irregular("an operand of another kind")
        have = storage.cell[COTANGENT]
        if have is not None and type(have) is not ndarray:
            raise Irregular("a cotangent elsewhere")
        self._regions.append(region)
        if _cover(self._regions) is None:
            raise Irregular("regions that overlap")
        same = next(each for each in self._regions if each.storage is storage)
        self._space[f"W{name}"] = handle.path
        self._lines += [
            f"if type({name}) is not Array or {name}.path != W{name}: return None",
            f"t{name} = {name}._storage",
        ]
        if same is not region:
            self._lines.append(f"if t{name} is not t{same.name}: return None")
            return
        self._space[f"H{name}"] = storage.host.shape
        self._lines += [
            f"o{name} = t{name}.host",
            f"if t{name}.tape is not tape or t{name}.remote is not None or o{name}.shape != H{name}"
            f" or o{name}.dtype is not D or not o{name}.flags.c_contiguous: return None",
            f"z{name} = t{name}.cell",
            f"if z{name}[3] or z{name}[0] is not None and type(z{name}[0]) is not ndarray: return None",
        ]
        self._cells[id(storage.cell)] = f"z{name}"
        self._terms[id(storage.cell)] = None


class Region:
    """A part of a storage whose cotangent is added to."""

    __slots__ = ("cell", "name", "path", "storage", "term")

    def __init__(self, handle: Array, term: Term, name: str) -> None:
        self.storage = handle.storage
        self.cell, self.path, self.term, self.name = self.storage.cell, handle.path, term, name


def _cover(regions: list[Region]) -> list[bool] | None:
    """Of each region, whether those of its storage are all of that; None if some overlap."""
    counts: dict[int, ndarray] = {}
    for each in regions:
        count = counts.setdefault(id(each.storage), np.zeros(each.storage.host.shape, np.int8))
        for index in each.path:
            count = count[index]
        count += 1
    if any(count.size and count.max() > 1 for count in counts.values()):
        return None
    return [bool(counts[id(each.storage)].all()) for each in regions]


def _moves(array: ndarray) -> bool | None:
    """Whether an array changes along the last axis; None if it is not laid out for the code."""
    if not 1 <= array.ndim <= 4 or min(array.strides) < 0:
        return None
    return {array.itemsize: True, 0: False}.get(array.strides[-1])


class Stretch:
    """Some records, and the code for their part of the sweep."""

    def __init__(self, search: Search, match: Any, plan: Pass, wholes: int, whole: list[bool]) -> None:
        self.match, self._plan, self._count = match, plan, search.count
        self._shape, self._dtype, self._wholes, self._covers = search.shape, search.dtype, wholes, whole
        self._order = [k for _, k in plan.inputs]
        self._runs = tuple([search.runs[k] for k in self._order])
        self._work = len(plan.order) * int(np.prod(search.shape))
        self._spent = 0.0
        self._job: Any = None
        self._engines: dict[tuple[bool, ...], NativePass | None] = {}

    def ready(self) -> bool:
        """Whether its code is there; it is asked for when enough was spent on the records one by one."""
        if self._engines:
            return True
        self._spent += 3e-9 * self._work + _RECORD * self._count
        takes = native.takes()
        return sites.mode() != "auto" or (self._spent > takes and ledger.allows(takes, self._spent))

    def _engine(self, adds: tuple[bool, ...]) -> NativePass | None:
        """The code for regions of which some are added to."""
        from minpy.runtime.jit import background, engine

        if adds in self._engines:
            return self._engines[adds]
        if self._job is not None and not self._job.done:
            return None
        modes = (SET,) * self._wholes + tuple(ADD if each else SET for each in adds)
        try:
            found: Any = NativePass(self._plan, modes, self._runs, sites.mode() != "auto")
        except background.Pending as pending:
            self._job = pending.job
            return None
        except (native.Unfit, engine.CompileError):
            found = None
        self._engines[adds] = found
        return found

    def run(self, tape: Any, records: list[Any], found: tuple) -> bool:
        """The sweep of what was matched; False with nothing done if its code is not there."""
        cells, ended, inputs, gs, numbers, handles = found
        storages = [each._storage for each in handles]
        adds = tuple(
            [
                not (whole and storage.cell[COTANGENT] is None)
                for whole, storage in zip(self._covers, storages, strict=True)
            ]
        )
        engine = self._engines.get(adds) or self._engine(adds)
        if engine is None:
            return False
        for storage in set(storages):
            have = storage.cell[COTANGENT]
            if have is not None and any(np.may_share_memory(have, g) for g in gs):
                return False
        shape, dtype = self._shape, self._dtype
        outs = [np.empty(shape, dtype) for _ in cells]
        fresh: dict[Any, ndarray] = {}
        for handle, storage, add in zip(handles, storages, adds, strict=True):
            cell = storage.cell
            if add:
                cotangents._own(storage, like=None)
                part = cotangents._region(handle)
            else:
                if storage not in fresh:
                    fresh[storage] = np.empty(storage.host.shape, dtype)
                part = fresh[storage]
                for index in handle.path:
                    part = part[index]
            outs.append(part)
            tape.touched.add(storage)
        threads = pool.width() if self._work >= _SHARED_WORK else 1
        engine.run(
            [inputs[k] for k in self._order], [numbers[k] for k in self._plan.numbers], outs, 0, threads
        )
        del records[-self._count :]
        for cell in ended:
            cell[COTANGENT] = None
        for cell, out in zip(cells, outs, strict=False):
            cell[COTANGENT], cell[HELD] = out, OWN
        for storage, buffer in fresh.items():
            storage.cell[COTANGENT], storage.cell[HELD] = buffer, LAID_OUT
        return True
