"""LLVM, through llvmlite: from assembly text to object code, and from that to a function."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import platform
import sys
import threading
from functools import cache, lru_cache
from typing import Any

from minpy import handlers

_FUNCTION = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_LONG = 100_000  # bytes of a text: dozens of loops, one for each operation on arrays
_lock = threading.Lock()
_kept: list[Any] = []  # what compiled functions live in
_SAMPLES = [0.001, 0.1, 0.25, 0.37, 0.5, 0.73, 0.999] + [
    scale * (1 + i / 37) for scale in (1.1, 5.3, 21.7) for i in range(20)
]


class CompileError(Exception):
    """LLVM refused: a bug of ours, or an installation that does not fit."""


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Whether the compiler is installed (it is not loaded by asking)."""
    if sys.implementation.name != "cpython" or sys.byteorder != "little":
        return False
    try:
        return importlib.util.find_spec("llvmlite") is not None
    except (ImportError, ValueError) as error:
        if handlers.raised(error):
            raise
        return False


def is_loaded() -> bool:
    """Whether compiling now needs no loading of the compiler."""
    return "llvmlite.binding" in sys.modules


def c_library() -> str:
    """The C library and its version, where it is GNU's; else nothing."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""


@lru_cache(maxsize=1)
def stamp() -> str:
    """What compiled code depends on besides its text: the compiler, the processor, NumPy. Loads none of them."""
    import numpy

    facts = [sys.version, platform.machine(), numpy.__version__, c_library()]
    facts.append(os.environ.get("OPENBLAS_CORETYPE", ""))  # BLAS then adds in another order
    spec = importlib.util.find_spec("llvmlite")
    for place in (*(spec.submodule_search_locations or () if spec else ()), os.path.dirname(__file__)):
        try:
            with os.scandir(place) as files:
                for file in sorted(files, key=lambda each: each.name):
                    if file.name.endswith(".py"):
                        status = file.stat()
                        facts.append(f"{file.name}:{status.st_size}:{status.st_mtime_ns}")
        except OSError as error:
            if handlers.raised(error):
                raise
            facts.append("unreadable")
    try:
        with open("/proc/cpuinfo", "rb") as file:
            lines = file.read(8192).split(b"\n\n")[0].splitlines()
        facts += [str(line) for line in lines if line.startswith((b"model", b"flags", b"Features", b"CPU"))]
    except OSError as error:
        if handlers.raised(error):
            raise
        facts.append(_machine()[2])
    return "\n".join(facts)


@lru_cache(maxsize=1)
def _machine() -> tuple[Any, Any, str]:
    import llvmlite
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    return llvm, machine, f"{llvmlite.__version__} {cpu} {features}"


@lru_cache(maxsize=1)
def _quick_machine() -> Any:
    """One that makes code in little time."""
    llvm, _, _ = _machine()
    return llvm.Target.from_default_triple().create_target_machine(opt=0)


def address(function: Any) -> int:
    """Where a function of `ctypes` is."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def library_function(name: str, arity: int) -> int:
    """The address of the C library's `name`; 0 if it is not what `math` gives, bit for bit."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return 0
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_double] * arity
    pythons = getattr(math, name)
    for value in _SAMPLES:
        arguments = (value, 1.7)[:arity]
        try:
            expected = pythons(*arguments)
        except ValueError:
            continue
        if function(*arguments) != expected:
            return 0
    return address(function)


@cache
def _moving() -> dict[str, int]:
    """Of the C library, what LLVM calls of its own accord to copy and to fill memory."""
    try:
        library = ctypes.CDLL(None)
        return {name: address(getattr(library, name)) for name in ("memcpy", "memmove", "memset")}
    except (AttributeError, OSError):
        return {}


def object_code(text: str, *, quickly: bool = False) -> bytes:
    """Compile an assembly text; `quickly`: so that this, and not the code, takes little time.

    Raises
    ------
    CompileError
        LLVM does not take the text, or is not installed as it should be.
    """
    with _lock:
        try:
            llvm, machine, _ = _machine()
            return _object_code(llvm, _quick_machine() if quickly else machine, text, 0 if quickly else 3)
        except (RuntimeError, OSError, ImportError, AttributeError, TypeError) as error:
            if handlers.raised(error):
                raise
            raise CompileError(str(error)) from error


def function(code: bytes, externals: dict[str, int]) -> Any:
    """The function ``kernel`` of compiled code.

    Parameters
    ----------
    externals : dict
        The functions of the C library that it calls, and how many arguments they take; 0 for what `numpy_loops` finds.

    Raises
    ------
    CompileError
        It cannot be loaded.
    """
    from minpy.runtime.jit import crew, numpy_loops, remembered

    outside = {"minpy_PyErr_CheckSignals": address(ctypes.pythonapi.PyErr_CheckSignals), **_moving()}
    for name, arity in externals.items():
        if not arity:
            # One of NumPy's loops, or what manages memory.
            if name == crew.NAME:
                crew.muster()
                outside[crew.SYMBOL] = crew.address()
                if not outside[crew.SYMBOL]:
                    raise CompileError("there is nothing that shares loops")
                continue
            if name == remembered.NAME:
                outside[remembered.SYMBOL] = remembered.address()
                continue
            if name.startswith("extra "):
                outside[f"extra_{numpy_loops.symbol(name[6:])}"] = numpy_loops.extra(name[6:])
                continue
            outside[numpy_loops.symbol(name)] = numpy_loops.address(name)
            if not numpy_loops.address(name):
                raise CompileError(f"{name} is not what it was")
            continue
        outside[f"minpy_{name}"] = library_function(name, arity)
        if not outside[f"minpy_{name}"]:
            raise CompileError(f"the C library's {name} is not what Python uses")
    return _FUNCTION(placed(code, outside))


def placed(code: bytes, outside: dict[str, int]) -> int:
    """The address of the function ``kernel`` of compiled code that calls functions with these addresses.

    Raises
    ------
    CompileError
        It cannot be loaded.
    """
    from minpy.runtime.jit import loader

    found = loader.place(code, "kernel", outside)
    if not found:
        with _lock:
            try:
                llvm, machine, _ = _machine()
                for name, where in outside.items():
                    llvm.add_symbol(name, where)
                engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
                engine.add_object_file(llvm.ObjectFileRef.from_data(code))
                engine.finalize_object()
                found = engine.get_function_address("kernel")
            except (RuntimeError, OSError, ImportError, AttributeError, TypeError) as error:
                if handlers.raised(error):
                    raise
                raise CompileError(str(error)) from error
            _kept.append(engine)
    if not found:
        raise CompileError("the compiled function has no address")
    return found


def _object_code(llvm: Any, machine: Any, text: str, level: int) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    if not level:
        return bytes(machine.emit_object(module))
    if hasattr(llvm, "create_pass_builder"):
        options = llvm.create_pipeline_tuning_options(speed_level=level)
        if len(text) > _LONG:
            # A quarter of the time of the compiler, which takes a second for such a text as it is.
            options.loop_unrolling = options.loop_interleaving = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    else:
        builder = llvm.create_pass_manager_builder()
        builder.opt_level = level
        manager = llvm.create_module_pass_manager()
        machine.add_analysis_passes(manager)
        builder.populate(manager)
        manager.run(module)
    return bytes(machine.emit_object(module))
