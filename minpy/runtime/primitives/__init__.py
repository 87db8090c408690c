"""One table of primitives, a module per family (see `table`)."""

FAMILIES = (
    "elementwise",
    "reduce",
    "create",
    "shape",
    "index",
    "sorting",
    "linalg",
    "fft",
    "random",
    "other",
)
