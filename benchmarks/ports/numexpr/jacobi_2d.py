import numexpr


def step(a, b):
    around = {"c": a[1:-1, 1:-1], "w": a[1:-1, :-2], "e": a[1:-1, 2:], "s": a[2:, 1:-1], "n": a[:-2, 1:-1]}
    numexpr.evaluate("0.2 * (c + w + e + s + n)", around, out=b[1:-1, 1:-1])


def run(a, b, steps):
    for _ in range(steps):
        step(a, b)
        step(b, a)
    return a, b
