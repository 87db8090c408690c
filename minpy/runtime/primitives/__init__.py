"""One table of primitives, a module per family (see `table`)."""

FAMILIES = (
    "elementwise",
    "logic",
    "functions",
    "reduce",
    "create",
    "shape",
    "join",
    "index",
    "inplace",
    "sorting",
    "products",
    "linalg",
    "fft",
    "random",
    "other",
)
