"""Hides what MXNet loads when it finds it, and does not need: a second of each process's start."""

import sys

for name in ("sklearn", "scipy.stats"):
    sys.modules[name] = None
