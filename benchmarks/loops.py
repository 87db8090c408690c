"""Loops over numbers: plain Python with NumPy against MinPy, the first run (with compiling) and a later one.

    python -m benchmarks.loops [--small] [name…]

Each program runs in a process of its own. Results are compared bit by bit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS: dict[str, str] = {
    "crc32": """
        table = []
        for i in range(256):
            c = i
            for _ in range(8):
                c = (c >> 1) ^ 0xEDB88320 if c & 1 else c >> 1
            table.append(c)
        data = bytes(rng.integers(0, 256, 1_200_000 * S, dtype=np.uint8))

        def run():
            crc = 0xFFFFFFFF
            for byte in data:
                crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
            return crc ^ 0xFFFFFFFF
        """,
    "gram_schmidt": """
        A = rng.random((60 * S, 50 * S))

        def run():
            a = A.copy()
            n, m = a.shape
            q, r = np.zeros((n, m)), np.zeros((m, m))
            for k in range(m):
                norm = 0.0
                for i in range(n):
                    norm += a[i, k] * a[i, k]
                r[k, k] = math.sqrt(norm)
                for i in range(n):
                    q[i, k] = a[i, k] / r[k, k]
                for j in range(k + 1, m):
                    s = 0.0
                    for i in range(n):
                        s += q[i, k] * a[i, j]
                    r[k, j] = s
                    for i in range(n):
                        a[i, j] -= q[i, k] * s
            return q, r
        """,
    "edit_distance": """
        one = "".join(rng.choice(list("acgt"), 350 * S))
        other = "".join(rng.choice(list("acgt"), 300 * S))

        def run():
            n, m = len(one), len(other)
            d = np.zeros((n + 1, m + 1), dtype=np.int64)
            for i in range(n + 1):
                d[i, 0] = i
            for j in range(m + 1):
                d[0, j] = j
            for i in range(1, n + 1):
                for j in range(1, m + 1):
                    cost = 0 if one[i - 1] == other[j - 1] else 1
                    d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + cost)
            return d[n, m]
        """,
    "floyd_warshall": """
        D = rng.random((55 * S, 55 * S))

        def run():
            d = D.copy()
            n = len(d)
            for k in range(n):
                for i in range(n):
                    for j in range(n):
                        if d[i, k] + d[k, j] < d[i, j]:
                            d[i, j] = d[i, k] + d[k, j]
            return d
        """,
    "mandelbrot": """
        def run():
            h = w = 120 * S
            out = np.zeros((h, w), dtype=np.int64)
            for y in range(h):
                for x in range(w):
                    cr, ci = -2.0 + 2.5 * x / w, -1.25 + 2.5 * y / h
                    zr = zi = 0.0
                    n = 0
                    while n < 100 and zr * zr + zi * zi <= 4.0:
                        zr, zi = zr * zr - zi * zi + cr, 2.0 * zr * zi + ci
                        n += 1
                    out[y, x] = n
            return out
        """,
    "n_body": """
        n = 12
        P, V, M = rng.standard_normal((n, 3)), np.zeros((n, 3)), rng.random(n)

        def run():
            p, v = P.copy(), V.copy()
            for step in range(400 * S):
                for i in range(n):
                    for j in range(n):
                        if i != j:
                            dx = p[j, 0] - p[i, 0]
                            dy = p[j, 1] - p[i, 1]
                            dz = p[j, 2] - p[i, 2]
                            d = dx * dx + dy * dy + dz * dz + 0.01
                            f = 0.001 * M[j] / (d * math.sqrt(d))
                            v[i, 0] += f * dx
                            v[i, 1] += f * dy
                            v[i, 2] += f * dz
                for i in range(n):
                    for c in range(3):
                        p[i, c] += 0.001 * v[i, c]
            return p, v
        """,
    "lu": """
        A = rng.random((70 * S, 70 * S)) + np.eye(70 * S) * 10

        def run():
            a = A.copy()
            n = len(a)
            for k in range(n):
                for i in range(k + 1, n):
                    a[i, k] /= a[k, k]
                    for j in range(k + 1, n):
                        a[i, j] -= a[i, k] * a[k, j]
            return a
        """,
    "smith_waterman": """
        one, other = rng.integers(0, 4, 350 * S), rng.integers(0, 4, 300 * S)

        def run():
            h = np.zeros((len(one) + 1, len(other) + 1))
            best = 0.0
            for i in range(1, len(one) + 1):
                for j in range(1, len(other) + 1):
                    score = 2.0 if one[i - 1] == other[j - 1] else -1.0
                    value = max(0.0, h[i - 1, j - 1] + score, h[i - 1, j] - 1.5, h[i, j - 1] - 1.5)
                    h[i, j] = value
                    if value > best:
                        best = value
            return h, best
        """,
    "histogram": """
        values = rng.standard_normal(800_000 * S)

        def run():
            counts = np.zeros(64, dtype=np.int64)
            low, width = -4.0, 8.0 / 64
            for v in values:
                k = int((v - low) / width)
                if 0 <= k < 64:
                    counts[k] += 1
            return counts
        """,
    "gauss_seidel": """
        def run():
            u = np.zeros((60 * S, 60 * S))
            u[0, :] = 1.0
            for sweep in range(30):
                change = 0.0
                for i in range(1, u.shape[0] - 1):
                    for j in range(1, u.shape[1] - 1):
                        new = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
                        change = max(change, abs(new - u[i, j]))
                        u[i, j] = new
                if change < 1e-12:
                    break
            return u, change
        """,
    "sieve": """
        def run():
            n = 1_200_000 * S
            prime = np.ones(n + 1, dtype=bool)
            prime[:2] = False
            for i in range(2, int(math.sqrt(n)) + 1):
                if prime[i]:
                    for j in range(i * i, n + 1, i):
                        prime[j] = False
            return prime
        """,
    "lcg_walk": """
        def run():
            state, x, out = 12345, 0.0, np.zeros(600_000 * S)
            for i in range(len(out)):
                state = (state * 1103515245 + 12345) % 2147483648
                x += state / 2147483648 - 0.5
                out[i] = x
            return out, state
        """,
    "prefix_scan": """
        values = rng.random(1_200_000 * S)

        def run():
            out, total = np.empty_like(values), 0.0
            for i, v in enumerate(values):
                total = 0.99 * total + v
                out[i] = total
            return out
        """,
}

_FRAME = """
import hashlib, math, time
import numpy as np
S = {scale}
rng = np.random.default_rng(0)
{body}
started = time.perf_counter()
result = run()
took = time.perf_counter() - started
again = time.perf_counter()
run()
again = time.perf_counter() - again
parts = result if isinstance(result, tuple) else (result,)
text = "".join(f"{{type(part)}}{{np.asarray(part).tobytes().hex()}}" for part in parts)
print(took, again, hashlib.blake2b(text.encode()).hexdigest())
"""


def measure(path: Path, command: list[str], cache: Path) -> tuple[float, float, str]:
    """Seconds of the first and the second call of the program's function, and a digest of its result."""
    environment = {**os.environ, "MINPY_CACHE_DIR": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would switch the cache off
    done = subprocess.run(
        [sys.executable, *command, str(path)], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    first, second, digest = done.stdout.split()
    return float(first), float(second), digest


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="sizes of about 0.1 s instead of some seconds")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PROGRAMS)}")
    chosen = parser.parse_args()
    print(
        f"{'seconds':16}{'plain':>9}{'cold':>9}{'warm':>9}{'again':>9}{'cold x':>9}{'warm x':>9}{'again x':>9}  bits"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.names or PROGRAMS:
            import textwrap

            path = Path(folder) / f"{name}.py"
            path.write_text(
                _FRAME.format(scale=1 if chosen.small else 3, body=textwrap.dedent(PROGRAMS[name]))
            )
            cache = Path(folder) / name
            plain, second, expected = measure(path, [], cache)
            cold, _, found = measure(path, ["-m", "minpy", "run"], cache)
            warm, again, too = measure(path, ["-m", "minpy", "run"], cache)
            equal = "equal" if expected == found == too else "DIFFER"
            ratios = "".join(f"{plain / each:9.1f}" for each in (cold, warm)) + f"{second / again:9.1f}"
            print(f"{name:16}{plain:9.3f}{cold:9.3f}{warm:9.3f}{again:9.4f}{ratios}  {equal}")


if __name__ == "__main__":
    main()
