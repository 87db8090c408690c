"""What a routed call costs over a plain NumPy call, on 10 elements: in rewritten code, and through `minpy.numpy`.

python -m benchmarks calls
"""

import numpy as np
import pyperf

from minpy.runtime.entry import routed

X = np.arange(10.0)

PAIRS = [
    ("idle: np.exp(x)", "plain: np.exp(x)"),
    ("idle: np.sum(x)", "plain: np.sum(x)"),
    ("idle: np.zeros(10)", "plain: np.zeros(10)"),
    ("minpy.numpy: np.exp(x)", "plain: np.exp(x)"),
    ("minpy.numpy: np.sum(x)", "plain: np.sum(x)"),
]

STATEMENTS = {
    "plain: np.exp(x)": "np.exp(x)",
    "plain: np.sum(x)": "np.sum(x)",
    "plain: np.zeros(10)": "np.zeros(10)",
    "idle: np.exp(x)": "routed.np.exp(x)",
    "idle: np.sum(x)": "routed.np.sum(x)",
    "idle: np.zeros(10)": "routed.np.zeros(10)",
    "minpy.numpy: np.exp(x)": "door.exp(x)",
    "minpy.numpy: np.sum(x)": "door.sum(x)",
}

if __name__ == "__main__":
    import minpy.numpy as door

    runner = pyperf.Runner(values=5, processes=6)
    names = {"np": np, "x": X, "routed": routed, "door": door}
    for name, statement in STATEMENTS.items():
        runner.timeit(name, statement, globals=names)
