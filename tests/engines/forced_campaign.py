"""Many programs of all generators with every engine forced on: ``python tests/engines/forced_campaign.py`` (``make engines``).

As `tests/programs/campaign.py`: what differs is written to a folder, and the run goes on; it can be interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "programs")]

from campaign import Campaign, work
from forced import KINDS, check


def one(seed: int) -> str:
    """What became of the program of a seed: the kinds take turns."""
    folder = Path(tempfile.gettempdir()) / f"engines-{os.getuid()}-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("MINPY_CACHE_DIR", str(folder / "cache"))
    return check(KINDS[seed % len(KINDS)], seed // len(KINDS), folder)


def failure(seed: int, why: str) -> str:
    """A file that shows a failure again."""
    head = f"import sys\n\nsys.path.insert(0, {str(HERE)!r})\n\nfrom forced_campaign import one\n\nprint(one({seed}))\n"
    return head + "".join(f"# {line}\n" for line in why.splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40_000, help="how many programs")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument(
        "--folder", type=Path, default=Path("campaign/engines"), help="the journal and the failures"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the journal")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(one)
        return 0
    campaign = Campaign(given.folder, given.fresh, __file__, failure)
    return campaign.run(range(given.first, given.first + given.count), given.jobs)


if __name__ == "__main__":
    sys.exit(main())
