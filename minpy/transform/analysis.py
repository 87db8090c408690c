"""From a text to its plan with libcst: parse, walk, resolve, and place the import of the door if it needs one."""

from __future__ import annotations

import libcst as cst

from minpy.transform.emitted import door_import, free_name
from minpy.transform.plan import Plan
from minpy.transform.routing import Walk


def make_plan(text: str, *, operators: bool, door: str) -> Plan:
    """Return the plan of a module's text; see `minpy.transform.rewriter.plan`."""
    module = cst.parse_module(text)
    if module.code != text:
        raise ValueError("libcst does not give the text back as it was")
    walk = Walk(module, text, operators=operators).run()
    if door == "__minpy__":
        edits, notes = walk.result(door)
        return Plan(text, edits, notes=notes, door=door)
    edits, notes = walk.result(free_name(text, door))
    if not edits:
        return Plan(text, notes=notes, door=door)
    door, statement = door_import(module, walk.spans, text, free_name(text, door), edits[0].start)
    edits, notes = walk.result(door)
    if statement is not None:
        edits = tuple(sorted([statement, *edits], key=lambda edit: edit.start))
    return Plan(text, edits, notes=notes, door=door)
