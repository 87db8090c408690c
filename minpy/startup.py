"""Installs the hook in a child process; imported when Python starts, if ``MINPY_ACTIVE`` is set.

Whatever goes wrong here, the process goes on as plain Python: one line on stderr says so.
"""

from __future__ import annotations

import sys


def _start() -> None:
    try:
        from minpy import runner
        from minpy.options import from_environ
        from minpy.transform import children

        options = from_environ()
        runner.prepare(options)
        children.watch_main_script(options)
    except Exception as error:
        try:
            sys.stderr.write(f"minpy: not active in process {' '.join(sys.argv[:1])!r}: {error}\n")
        except Exception:
            pass


_start()
