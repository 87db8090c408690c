"""``import mxnet`` in a program, in whatever order."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minpy.runtime.backends.mxnet import load

pytestmark = pytest.mark.mxnet


@pytest.mark.parametrize(
    "text",
    [
        "import minpy; import mxnet as mx",
        "import numpy, minpy.core; import mxnet.io; mx = mxnet",
        "from minpy.core import Function; from mxnet import nd; import mxnet as mx",
    ],
)
def test_import(text):
    after = "import numpy; print(mx.__version__, hasattr(mx.sym, 'Convolution'), 'bool' in vars(numpy))"
    done = subprocess.run(
        [sys.executable, "-c", f"{text}; {after}"], capture_output=True, text=True, check=False
    )
    import numpy

    assert done.stdout.split() == [load().__version__, "True", str("bool" in vars(numpy))], done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(("policy", "spins"), [(None, "3000"), ("active", "30000000000")])
def test_threads_of_mxnet_wait_shortly_unless_told_otherwise(policy, spins):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    env = {key: value for key, value in os.environ.items() if key not in names}
    env |= {"OMP_DISPLAY_ENV": "verbose"} | ({"OMP_WAIT_POLICY": policy} if policy else {})
    text = "import minpy, mxnet, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, env=env)
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this MXNet has threads of another OpenMP")
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr and done.stdout.split() == ["None"]


def test_import_under_the_command(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import mxnet as mx\nimport numpy as np\nprint(mx.nd.ones(3).asnumpy().sum() + np.ones(2).sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(program)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("5.0\n", "")


LATE = """
import sys
import minpy
import mxnet as mx
given = [name for name in ("scipy.stats", "sklearn") if name in sys.modules]
assert not given, given
from mxnet import test_utils
assert len(test_utils.gen_buckets_probs_with_ppf(lambda x: test_utils.ss.norm.ppf(x, 0, 1), 5)[0]) == 5
import scipy.stats
assert test_utils.ss.norm is scipy.stats.norm and type(scipy.stats) is type(sys)
net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3), name="softmax")
model = mx.model.FeedForward(net, num_epoch=7)
"""


@pytest.mark.parametrize(
    "first",
    [
        "import sklearn.base",
        "assert repr(model).startswith('FeedForward('); from sklearn import base; import sklearn",
    ],
)
def test_what_mxnet_imports_and_hardly_ever_uses_comes_late(first):
    pytest.importorskip("sklearn", reason="what is imported late")
    after = "assert isinstance(model, sklearn.base.BaseEstimator) and model.get_params()['num_epoch'] == 7"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{LATE}{first}\n{after}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
