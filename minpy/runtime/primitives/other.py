"""Rows: other."""

from minpy.runtime.primitives.table import row

for _name in (
    "shape",
    "ndim",
    "size",
    "result_type",
    "can_cast",
    "may_share_memory",
    "shares_memory",
    "iscomplexobj",
    "isrealobj",
):
    row(_name, geometry=True)
