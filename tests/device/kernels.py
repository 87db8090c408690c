"""``cupy.RawKernel`` for the simulated GPU: the text of a CUDA kernel, compiled by the C++ compiler of the host.

Each thread of the launch is a call. Calls overlap nothing, so races are not seen; what the text computes is.
"""

from __future__ import annotations

import ctypes
import hashlib
import pathlib
import re
import shutil
import subprocess
from typing import Any

import numpy as np

COMPILER = shutil.which("g++") or shutil.which("clang++")
_SHIM = """
#include <cmath>
using namespace std;
struct Place { unsigned int x; };
static Place blockIdx, blockDim, threadIdx, gridDim;
#define __global__ static
"""
_C = {
    "long long": ctypes.c_longlong,
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "bool": ctypes.c_bool,
}


def raw_kernel(machine: Any, folder: pathlib.Path) -> type:
    """The class for a machine; what is compiled goes into `folder`."""

    class RawKernel:
        texts: list[str] = []  # noqa: RUF012 - what was compiled, for tests

        def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
            self.code, self.name, self.options = code, name, options
            head = re.search(rf"void {name}\((.*?)\) \{{", code)
            assert head is not None, code
            self.parameters = [p.strip() for p in head[1].split(",")]
            self.function: Any = None

        def compile(self) -> None:
            self.texts.append(self.code)
            names = ", ".join(re.split(r"[ *]", p)[-1] for p in self.parameters)
            driver = (
                f'extern "C" void launch(unsigned int grid, unsigned int block, {", ".join(self.parameters)}) {{\n'
                "gridDim.x = grid; blockDim.x = block;\n"
                "for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)\n"
                f"for (threadIdx.x = 0; threadIdx.x < block; threadIdx.x++) {self.name}({names});\n}}\n"
            )
            stem = folder / hashlib.sha256(self.code.encode()).hexdigest()[:16]
            text = _SHIM + self.code.replace('extern "C" ', "") + driver
            stem.with_suffix(".cpp").write_text(text)
            contraction = ["-ffp-contract=off"] if "--fmad=false" in self.options else []
            subprocess.run(
                [
                    str(COMPILER),
                    "-O0",
                    "-shared",
                    "-fPIC",
                    *contraction,
                    str(stem) + ".cpp",
                    "-o",
                    str(stem) + ".so",
                ],
                check=True,
                capture_output=True,
            )
            self.function = ctypes.CDLL(str(stem) + ".so").launch

        def __call__(self, grid: tuple, block: tuple, arguments: tuple) -> None:
            machine.launch("fused")
            assert len(arguments) == len(self.parameters), (self.parameters, arguments)
            values: list[Any] = []
            for argument, parameter in zip(arguments, self.parameters, strict=True):
                if "*" in parameter:
                    values.append(ctypes.c_void_p(argument._a.__array_interface__["data"][0]))
                else:
                    assert isinstance(argument, np.generic), parameter
                    kind = parameter.removeprefix("const ").rpartition(" ")[0]
                    assert np.dtype(_C[kind]) == argument.dtype, (parameter, argument.dtype)
                    values.append(_C[kind](argument.item()))
            self.function(ctypes.c_uint(grid[0]), ctypes.c_uint(block[0]), *values)

    return RawKernel
