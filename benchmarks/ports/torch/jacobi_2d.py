from torch import from_numpy


def step(a, b):
    b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1])


def run(a, b, steps, step=step):
    a, b = from_numpy(a), from_numpy(b)
    for _ in range(steps):
        step(a, b)
        step(b, a)
    return a, b
