"""One table of primitives, a module per family (see `table`)."""

FAMILIES = (
    "elementwise",
    "logic",
    "functions",
    "reduce",
    "sequences",
    "statistics",
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
