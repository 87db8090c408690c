"""The tables that the guard reads: what stands in which word.

`shortcut` fills those of a site, `geometry` those of one geometry.
"""

from __future__ import annotations

MOST_WORDS, MOST_RESULTS, MOST_FIXED, MOST_VALUES, MOST_NUMBERS, MOST_KEYS = 96, 24, 192, 48, 8, 12
# The words of a site. Those from GEOMETRIES on are pointers to the words of geometries.
SLOW, NONE, TRUE, FALSE, KEY, STATE, STATE_VALUE, STATE_DEFAULT, ARRAY, ASK, ASK_COUNT = range(11)
TOOL, TOOL_NUMBERS, HITS, COUNT, GIVEN, CHAINS, CHAINS_AT, EXPECTED, GEOMETRIES = 11, 12, *range(18, 25)
MOST_GEOMETRIES = 4
# The words of a geometry: numbers of items and where they are.
(
    NAMES, CHECKS, SAME, SAME_AT, APART, APART_AT, FRESH, FRESH_AT, EMPTY, WORDS, WORDS_AT, FILLS, FILLS_AT, CODE,
    LONG, REPORTED, RESULTS, RESULTS_AT, MOVES, MOVES_AT, BACK, BACK_AT, MOVE, LIMITS, LIMITS_AT, SHIFTS, SHIFTS_AT,
    FIXED, KEYS, KEYS_AT, FIRST, ITEMS, ITEM_CHECKS, PARTS, PARTS_AT,
) = range(35)  # fmt: skip
# Of each name, and of each step of a chain: what kind of check, and what it needs (five words).
(
    IS_ARRAY,
    IS_FLOAT,
    IS_THIS_FLOAT,
    IS_THIS_INT,
    IS_THIS,
    IS_SMALL_FLOAT,
    IS_MOVING,
    IS_INT,
    IS_TYPE,
    IS_ANY,
) = range(10)
# A form, of the numbers that move slices (five words): two of them, each with its factor, and a constant.
FORM = 5
# Of each part of an index that is made anew: what it is, an object (a constant, or a slice's step), the forms of a
# number or a slice's ends, and whether these are None.
PART_CONSTANT, PART_NUMBER, PART_SLICE = range(3)
PART = 2 + 2 * (FORM + 1)
ONLY = -1  # the number of parts of an index that is no tuple
# Of each step of a chain: from which value, an attribute or an item, the type and its version, the name (five words).
ATTRIBUTE, ITEM = range(2)
