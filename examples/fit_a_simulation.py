"""Fit a simulation to measurements: hares and lynxes, counted with errors, and the four rates of their equations.

The integrator is plain NumPy, Runge-Kutta into a table made before; `grad` goes through it. Run it as
`minpy run examples/fit_a_simulation.py`: under plain Python, arrays that are written in place would not be on the tape.
Options: `--short` (a few rounds), `--out FILE` (the picture, drawn if matplotlib is installed).
"""

import argparse

import numpy as np

from minpy import value_and_grad

NAMES = "births", "hunting", "feeding", "deaths"
TRUTH = np.array([1.1, 0.4, 0.1, 0.4])
START = np.array([8.0, 3.0])
DT, STEPS, EVERY = 0.1, 240, 8


def change(state, rates, out):
    hares, lynxes = state
    out[0] = hares * (rates[0] - rates[1] * lynxes)
    out[1] = lynxes * (rates[2] * hares - rates[3])


def simulate(rates):
    path, k = np.empty((STEPS + 1, 2)), np.empty((4, 2))
    path[0] = START
    for n in range(STEPS):
        change(path[n], rates, k[0])
        change(path[n] + 0.5 * DT * k[0], rates, k[1])
        change(path[n] + 0.5 * DT * k[1], rates, k[2])
        change(path[n] + DT * k[2], rates, k[3])
        path[n + 1] = path[n] + DT / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
    return path


def measure(seed=0, error=0.04):
    rng = np.random.default_rng(seed)
    path = simulate(TRUTH)[::EVERY]
    return path * np.exp(error * rng.normal(size=path.shape))


def loss(unknown, counted):
    path = simulate(np.exp(unknown))[::EVERY][: len(counted)]
    return np.mean((np.log(path) - np.log(counted)) ** 2)


def fit(counted, rounds, rate=0.02):
    """Adam, by hand; the first part of the series first, so that the phase is right before the end counts."""
    unknown = np.log(np.array([0.8, 0.3, 0.15, 0.6]))
    mean, square = np.zeros(4), np.zeros(4)
    for n in range(1, rounds + 1):
        known = counted[: 6 + (len(counted) - 6) * min(2 * n, rounds) // rounds]
        value, g = value_and_grad(loss)(unknown, known)
        mean += 0.1 * (g - mean)
        square += 0.01 * (g**2 - square)
        unknown -= rate * mean / (1 - 0.9**n) / (np.sqrt(square / (1 - 0.99**n)) + 1e-12)
        if n % 40 == 0:
            print(f"round {n:3d}  {len(known):2d} counts  loss {value:.5f}")
    return np.exp(unknown)


def draw(counted, rates, file):
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed (pip install 'minpy[examples]')")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained", width_ratios=[2, 1])
    times, fitted, truth = DT * np.arange(STEPS + 1), simulate(rates), simulate(TRUTH)
    for i, (name, colour) in enumerate((("hares", "tab:brown"), ("lynxes", "tab:blue"))):
        left.plot(times, truth[:, i], color=colour, lw=5, alpha=0.25)
        left.plot(times, fitted[:, i], color=colour, label=name)
        left.plot(times[::EVERY], counted[:, i], "o", color=colour, ms=4)
    left.set(title="dots: counted; lines: fitted; pale: the truth", xlabel="years", ylabel="animals")
    left.legend()
    left.grid(alpha=0.3)
    places = np.arange(4)
    right.bar(places - 0.18, TRUTH, 0.36, color="silver", label="truth")
    right.bar(places + 0.18, rates, 0.36, color="tab:green", label="fitted")
    right.set_xticks(places, NAMES)
    right.set_title("rates")
    right.legend()
    figure.savefig(file, dpi=110)
    print(f"picture: {file}")


def main():
    parser = argparse.ArgumentParser(description="fit the rates of a simulation")
    parser.add_argument("--short", action="store_true", help="a few rounds")
    parser.add_argument("--out", default="fit_a_simulation.png", help="the picture")
    options = parser.parse_args()
    counted = measure()
    rates = fit(counted, 6 if options.short else 160)
    for name, rate, truth in zip(NAMES, rates, TRUTH):
        print(f"{name:8s} {rate:.3f}  (truth {truth:.3f})")
    print(f"largest error of a rate: {np.max(np.abs(rates / TRUTH - 1)):.1%}")
    draw(counted, rates, options.out)


if __name__ == "__main__":
    main()
