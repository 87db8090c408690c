"""One table of primitives, a module per family (see `table`)."""

FAMILIES = (
    "elementwise",
    "logic",
    "reduce",
    "create",
    "shape",
    "join",
    "index",
    "sorting",
    "linalg",
    "fft",
    "random",
    "other",
)
