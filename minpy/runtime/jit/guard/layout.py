"""The tables that the guard reads: what stands in which word.

`shortcut` fills those of a site, `plans` those of a kernel.
"""

from __future__ import annotations

MOST_WORDS, MOST_OBJECTS, MOST_MADE, MOST_PLANS, MOST_ARGUMENTS = 640, 96, 48, 4, 8
# The words of a site.
(
    SLOW, LEFT, PARTS, PLAIN, OVER, BROKEN, WHAT, FEWEST, SKIPPED, NONE, STATE, STATE_VALUE, STATE_DEFAULT, ASK,
    ASK_COUNT, TOOL, SAME, SAME_AT, FRAME, LOCALS, BUILTINS, ARRAY, LIST, FUNCTION, TYPES, TRUE, FALSE, NUMPY_TRUE,
    NUMPY_FALSE, COUNT, BALANCE, AN_EXIT,
) = range(32)  # fmt: skip
TOOL_NUMBERS = 32
PLANS = TOOL_NUMBERS + 6
SITE_WORDS = PLANS + MOST_PLANS
# What stood where the guard stands.
RANGE, ELEMENTS, ENUMERATE, ZIP, WHILE = range(5)
# The words of a plan: numbers of items and where they are; figures; what was counted.
(
    CODE, KERNEL, WORDS, TEMPLATE, ROWS, ROWS_AT, CLEAN, WRITTEN, WRITTEN_AT, OWNED, OWNED_AT, CAME, CAME_AT, SCALARS,
    SCALARS_AT, MADE, MADE_AT, LISTS, LISTS_AT, AXES, AXES_AT, A_ROUND, LEAST, A_BYTE, LIMIT, RAN, TOOK, RUNS,
) = range(28)  # fmt: skip
PLAN_WORDS = 28
# A row: how an object is found (and two words for that), what it must be (and two words), the words it fills (and one).
ROW = 8
FAST, CELL, GLOBAL, IN_DICT, IN_INSTANCE, IN_CLASS, ARGUMENT = range(7)
ANYTHING, THIS, IS_FUNCTION, HAS_TYPE, IS_LIST, IS_SEQUENCE, IS_ARRAY, IS_SCALAR = CHECKS = range(8)
# Of a sequence (its type, one of these, words, another type that will do): what its items are.
CHARACTERS, BYTES, INTEGERS, FLOATS = range(4)
ROOM = 8192  # words for copies of the items of all sequences
# An item of SCALARS (words, representation, variable, key), MADE (words, axes, variable, key, dtype, element's size),
# LISTS (words, row), WRITTEN (row, element's size).
ITEM = 6
MODULES = -1  # in place of a variable's number: it is the module's, by that key
REPS = {"": 0, "i": 1, "d": 2, "b": 3}


def array_word(ndim: int, unit: bool, size: int, ones: tuple[int, ...], last: int) -> int:
    """What an array must be like, besides its dtype, in one word.

    `ones` are the axes that have one element; `last` is how many the last axis has, or 0.
    """
    return ndim | unit << 8 | size << 16 | sum(1 << 32 + axis for axis in ones) | last << 40
