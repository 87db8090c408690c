import numexpr


def run(a, b):
    return numexpr.evaluate("tanh(a * b + a) - exp(-b)")
