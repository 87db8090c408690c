"""Every module can be the first one imported, and a plain start stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "minpy"

SCRIPT = """
import importlib, sys
failed = {}
for name in sys.argv[1:]:
    for loaded in [m for m in sys.modules if m.partition(".")[0] == "minpy"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = repr(error)
print(failed)
"""


def modules() -> list[str]:
    names = (path.relative_to(PACKAGE.parent).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    return [
        ".".join(n.parts).removesuffix(".__init__") for n in names if n.name not in ("__main__", "startup")
    ]


def test_every_module_can_be_imported_first():
    """No module depends on another having been imported before it."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *modules()], capture_output=True, text=True, timeout=400
    )
    assert (done.stdout.strip(), done.stderr) == ("{}", "")


def test_importing_minpy_imports_nothing_heavy():
    """`import minpy` and the door cost neither numpy nor libcst nor mxnet."""
    heavy = ("numpy", "libcst", "mxnet", "rich")
    program = f"import sys, minpy; minpy.routed; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_blocks_and_loops_bring_no_heavy_module():
    """What the first block of a program imports is on the clock of each of its runs."""
    text = (
        "import sys, numpy; before = set(sys.modules)\n"
        "import minpy.runtime.fuse.block, minpy.runtime.fuse.call, minpy.runtime.jit.drive\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'unittest', 'subprocess', 'tempfile', 'argparse', 'llvmlite', 'libcst', 'rich'}))\n"
        "print('numpy.testing' in set(sys.modules) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[]\nFalse\n"), done.stderr
