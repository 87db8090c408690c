"""Many random programs in one long run: ``python tests/programs/campaign.py --count 100000`` (``make campaign``).

Prints what became of the programs, and stops on nothing: a wrong one, one that hangs and one that ends the process are
written to a folder as files that reproduce them, and the run goes on. A journal says which blocks of seeds are done,
so that the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

BLOCK = 200
SECONDS = 60  # for one program
HERE = Path(__file__).resolve().parent

FAILURE = '''"""Program {seed} of the campaign: {why}"""

import sys

sys.path.insert(0, {here!r})

TEXT = """\\
{text}"""

if __name__ == "__main__":
    from differences import check

    print(check(TEXT, {dims}, {seed}))
'''


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="how many programs")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--folder", type=Path, default=Path("campaign"), help="the journal and the failures")
    parser.add_argument("--fresh", action="store_true", help="forget the journal")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.work:
        work()
        return 0
    return Campaign(given.folder, given.fresh).run(range(given.first, given.first + given.count), given.jobs)


class Campaign:
    """Hands blocks of seeds to processes and keeps the books."""

    def __init__(
        self, folder: Path, fresh: bool = False, script: str = __file__, failure: Any = None
    ) -> None:
        self.script, self.failure = script, failure or failure_of
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.journal = folder, folder / "journal.jsonl"
        if fresh:
            self.journal.unlink(missing_ok=True)
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.start, self.busy = time.monotonic(), 0

    def run(self, seeds: range, jobs: int) -> int:
        """Check the programs; 1 if one of them was wrong."""
        done = self._read_journal(seeds)
        blocks: queue.SimpleQueue = queue.SimpleQueue()
        for first in range(seeds.start, seeds.stop, BLOCK):
            block = range(first, min(first + BLOCK, seeds.stop))
            if (block.start, block.stop) not in done:
                blocks.put(block)
        threads = [threading.Thread(target=self._serve, args=(blocks,), daemon=True) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{'=' * 20}\n{self.report()}")
        return 1 if self.wrong else 0

    @property
    def wrong(self) -> int:
        return sum(n for outcome, n in self.counts.items() if outcome.startswith("WRONG"))

    def report(self) -> str:
        """What became of how many."""
        total = sum(self.counts.values())
        lines = [f"{total} programs, {time.monotonic() - self.start:.0f} s"]
        lines += [f"{n:8d}  {100 * n / total:6.2f} %  {outcome}" for outcome, n in self.counts.most_common()]
        return "\n".join(lines)

    def _read_journal(self, seeds: range) -> set[tuple[int, int]]:
        done = set()
        if self.journal.exists():
            for line in self.journal.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                block = entry["from"], entry["to"]
                if seeds.start <= block[0] and block[1] <= seeds.stop and block not in done:
                    done.add(block)
                    self.counts.update(entry["counts"])
        return done

    def _serve(self, blocks: queue.SimpleQueue) -> None:
        """Keep one process at work."""
        worker = None
        while True:
            try:
                block = blocks.get_nowait()
            except queue.Empty:
                break
            counts: Counter[str] = Counter()
            seed = block.start
            while seed < block.stop:
                if worker is None:
                    worker = subprocess.Popen(
                        [sys.executable, self.script, "--work"],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                    )  # fmt: skip
                seed = self._listen(worker, range(seed, block.stop), counts)
                if seed < block.stop:  # it ended in the middle of this one
                    status = worker.wait()
                    worker = None
                    self._wrong(seed, f"the process ended with status {status}", counts)
                    seed += 1
            with self.lock:
                self.counts.update(counts)
                with self.journal.open("a", encoding="utf-8") as journal:
                    print(json.dumps({"from": block.start, "to": block.stop, "counts": counts}), file=journal)
                self.busy += 1
                if self.busy % 25 == 0:
                    print(self.report(), flush=True)
        if worker is not None:
            worker.communicate()

    def _listen(self, worker: subprocess.Popen, seeds: range, counts: Counter[str]) -> int:
        """The first seed that was not answered."""
        seed = seeds.start
        try:
            print(seeds.start, seeds.stop, file=worker.stdin, flush=True)
        except OSError:
            return seed
        for line in worker.stdout:  # type: ignore[union-attr]
            if not line.startswith("{"):
                continue  # what a program prints
            answer = json.loads(line)
            if answer["outcome"].startswith("WRONG"):
                self._wrong(answer["seed"], answer["why"], counts)
            else:
                counts[answer["outcome"]] += 1
            seed = answer["seed"] + 1
            if seed == seeds.stop:
                break
        return seed

    def _wrong(self, seed: int, why: str, counts: Counter[str]) -> None:
        first = why.splitlines()[0][:200]
        counts["WRONG: " + first[:100]] += 1
        path = self.folder / f"program_{seed}.py"
        path.write_text(self.failure(seed, why), encoding="utf-8")
        print(f"WRONG: {path}: {first}", flush=True)


def failure_of(seed: int, why: str) -> str:
    """A file that shows a failure again."""
    from differences import make, size_of

    text, dims = make(seed, size_of(seed))
    shown = why.splitlines()[0][:200].replace("\\", "\\\\").replace('"', "'")
    return FAILURE.format(seed=seed, why=shown, here=str(HERE), text=text, dims=dims)


def gradients(seed: int) -> str:
    """What became of the program of a seed."""
    from differences import check, make, size_of

    text, dims = make(seed, size_of(seed))
    return check(text, dims, seed)


def work(check: Any = gradients) -> None:
    """Read pairs of seeds, check the programs between them, and say a line about each."""

    def out_of_time(*_: Any) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, out_of_time)
    answers = sys.stdout
    sys.stdout = sys.stderr  # programs may print
    for line in sys.stdin:
        first, last = map(int, line.split())
        for seed in range(first, last):
            answer = {"seed": seed}
            signal.alarm(SECONDS)
            try:
                answer["outcome"] = check(seed)
            except Exception as error:
                answer |= {"outcome": "WRONG", "why": f"{type(error).__name__}: {error}"}
            finally:
                signal.alarm(0)
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    sys.exit(main())
