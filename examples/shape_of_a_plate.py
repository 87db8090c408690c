"""Where to put the copper: a plate heated everywhere and cooled at one place, improved through its simulation.

The simulation is plain NumPy, a stencil that writes in place; `grad` says how 256 unknowns should change. Run it as
`minpy run examples/shape_of_a_plate.py`: under plain Python, arrays that are written in place would not be on the tape.
Options: `--short` (a few rounds), `--out FILE` (the picture, drawn if matplotlib is installed).
"""

import argparse

import numpy as np

from minpy import value_and_grad

N = 16
COPPER, BOARD = 1.0, 0.05  # what they conduct
SHARE = 0.35  # of the plate that may be copper
COOLED = slice(N // 2 - 1, N // 2 + 1)  # of the left edge


def density(unknown):
    return 1 / (1 + np.exp(-unknown))


def temperature(rho, steps=300, dt=0.24):
    k = BOARD + (COPPER - BOARD) * rho**3
    across = 2 * k[:, 1:] * k[:, :-1] / (k[:, 1:] + k[:, :-1])
    down = 2 * k[1:] * k[:-1] / (k[1:] + k[:-1])
    u = np.zeros((N, N))
    for _ in range(steps):
        flow = dt * across * (u[:, 1:] - u[:, :-1])
        sink = dt * down * (u[1:] - u[:-1])
        u += 0.001 * dt
        u[:, :-1] += flow
        u[:, 1:] -= flow
        u[:-1] += sink
        u[1:] -= sink
        u[COOLED, 0] = 0.0
    return u


def loss(unknown):
    rho = density(unknown)
    too_much = np.maximum(np.mean(rho) - SHARE, 0.0)
    return np.mean(temperature(rho)) * 100 + 300 * too_much**2


def optimise(unknown, rounds, rate=0.25):
    """Adam, by hand."""
    mean, square = np.zeros_like(unknown), np.zeros_like(unknown)
    history = []
    for n in range(1, rounds + 1):
        value, g = value_and_grad(loss)(unknown)
        history.append(value)
        mean += 0.1 * (g - mean)
        square += 0.01 * (g**2 - square)
        unknown -= rate * mean / (1 - 0.9**n) / (np.sqrt(square / (1 - 0.99**n)) + 1e-12)
        if n % 10 == 0:
            print(f"round {n:3d}  loss {value:.4f}")
    return history


def draw(rho, before, after, history, file):
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed (pip install 'minpy[examples]')")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(15, 3.9), layout="constrained")
    shown = axes[0].imshow(rho, cmap="copper", vmin=0, vmax=1)
    axes[0].set_title("share of copper")
    figure.colorbar(shown, ax=axes[0], shrink=0.8)
    for ax, u, title in (
        (axes[1], before, "temperature, evenly spread"),
        (axes[2], after, "temperature, shaped"),
    ):
        shown = ax.imshow(u, cmap="inferno", vmin=0, vmax=before.max())
        ax.set_title(title)
        figure.colorbar(shown, ax=ax, shrink=0.8)
    for ax in axes[:3]:
        ax.plot([-0.5, -0.5], [COOLED.start - 0.5, COOLED.stop - 0.5], color="deepskyblue", lw=7)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_xlabel("blue: cooled")
    axes[3].plot(np.arange(1, len(history) + 1), history, color="firebrick")
    axes[3].set(title="progress", xlabel="round", ylabel="loss")
    axes[3].grid(alpha=0.3)
    figure.savefig(file, dpi=110)
    print(f"picture: {file}")


def main():
    parser = argparse.ArgumentParser(description="shape the copper of a heated plate")
    parser.add_argument("--short", action="store_true", help="a few rounds")
    parser.add_argument("--out", default="shape_of_a_plate.png", help="the picture")
    options = parser.parse_args()
    unknown = np.full((N, N), np.log(SHARE / (1 - SHARE)))
    before = temperature(density(unknown))
    history = optimise(unknown, 4 if options.short else 60)
    rho = density(unknown)
    after = temperature(rho)
    print(f"copper on {np.mean(rho):.1%} of the plate")
    print(f"mean temperature: {np.mean(after) / np.mean(before):.1%} of that with the copper evenly spread")
    draw(rho, before, after, history, options.out)


if __name__ == "__main__":
    main()
