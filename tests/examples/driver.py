"""Runs examples one after the other in one process, so that NumPy, scikit-learn and MXNet are imported once.

Usage: minpy run driver.py RESULTS.json "example --option" "example" …
"""

import contextlib
import importlib
import io
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))


def run(command):
    name, *arguments = command.split()
    out, error, start = io.StringIO(), None, time.perf_counter()
    with contextlib.redirect_stdout(out):
        try:
            importlib.import_module(name).main([*arguments, "--short"])
        except BaseException:
            error = traceback.format_exc()
    print(
        f"{command}: {time.perf_counter() - start:.2f} s, {time.process_time():.2f} s of the process",
        file=sys.stderr,
    )
    return {"out": out.getvalue(), "error": error, "seconds": round(time.perf_counter() - start, 2)}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({command: run(command) for command in sys.argv[2:]}))
