"""Creation."""

from __future__ import annotations

from minpy.runtime.primitives.table import row

row("zeros", creates=True)
row("ones", creates=True)
