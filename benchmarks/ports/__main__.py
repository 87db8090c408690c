"""Compares the ports with their programs, in one process for each."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks import ports
from benchmarks.whole import NAMES, SCRIPT, environment_for


def check(peer: str, name: str, size: str, python: str = sys.executable) -> list[str]:
    """Where a port gives something else than its program."""
    done = subprocess.run(
        [python, str(SCRIPT), name, size, peer],
        input="check\n",
        capture_output=True,
        text=True,
        env=environment_for([name], None),
    )
    if done.returncode:
        return [ports.last_words(done)]
    return json.loads(done.stdout)["wrong"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ports", description=__doc__)
    parser.add_argument(
        "peers", nargs="*", metavar="peer", help=f"of {', '.join(ports.PEERS)} (default: all)"
    )
    parser.add_argument("--only", nargs="+", metavar="name", help="some programs")
    parser.add_argument("--size", choices=("tiny", "small", "large"), default="tiny")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the libraries")
    options = parser.parse_args()
    wrong = 0
    for peer in options.peers or ports.PEERS:
        there, absent = ports.names(peer), ports.ABSENT.get(peer, {})
        for name in options.only or (NAMES if peer in ports.COMPLETE else sorted({*there, *absent})):
            if name in there:
                found = check(peer, name, options.size, options.python)
                wrong += bool(found)
                print(f"{peer:13} {name:28} {'; '.join(found) or 'the same to rounding'}", flush=True)
            else:
                print(f"{peer:13} {name:28} no port: {absent.get(name, 'MISSING')}", flush=True)
                wrong += name not in absent
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
