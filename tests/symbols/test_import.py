"""``import mxnet`` in a program, in whatever order."""

from __future__ import annotations

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


def test_import_under_the_command(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import mxnet as mx\nimport numpy as np\nprint(mx.nd.ones(3).asnumpy().sum() + np.ones(2).sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "minpy", "run", str(program)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("5.0\n", "")
