"""LLVM, through llvmlite: from assembly text to a function, and the object code that the cache keeps."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import sys
import threading
import zlib
from functools import cache, lru_cache
from typing import Any

_FUNCTION = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
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
    except (ImportError, ValueError):
        return False


def is_loaded() -> bool:
    """Whether compiling now needs no loading of the compiler."""
    return "llvmlite.binding" in sys.modules


@lru_cache(maxsize=1)
def _machine() -> tuple[Any, Any, str]:
    import llvmlite
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    for name in ("PyErr_CheckSignals",):
        llvm.add_symbol(f"minpy_{name}", _address(getattr(ctypes.pythonapi, name)))
    return llvm, machine, f"{llvmlite.__version__} {cpu} {features}"


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def library_function(name: str, arity: int) -> bool:
    """Whether the C library's `name` is what `math` gives, bit for bit; it can then be called ``minpy_<name>``."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return False
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
            return False
    llvm, _, _ = _machine()
    llvm.add_symbol(f"minpy_{name}", _address(function))
    return True


def compile_text(text: str, externals: dict[str, int]) -> Any:
    """Compile the function ``kernel`` of an assembly text, or take its code from the cache.

    Raises
    ------
    CompileError
        LLVM does not take the text.
    """
    with _lock:
        try:
            llvm, machine, stamp = _machine()
            for name, arity in externals.items():
                if not library_function(name, arity):
                    raise CompileError(f"the C library's {name} is not what Python uses")
            where = _cache_file(text, stamp)
            code = _load(where)
            if code is None:
                code = _object_code(llvm, machine, text)
                _store(where, code)
            engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            engine.finalize_object()
            address = engine.get_function_address("kernel")
        except (RuntimeError, OSError, ImportError, AttributeError, TypeError) as error:
            raise CompileError(str(error)) from error
        if not address:
            raise CompileError("the compiled function has no address")
        _kept.append(engine)
        return _FUNCTION(address)


def _object_code(llvm: Any, machine: Any, text: str) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    if hasattr(llvm, "create_pass_builder"):
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    else:
        builder = llvm.create_pass_manager_builder()
        builder.opt_level = 3
        manager = llvm.create_module_pass_manager()
        machine.add_analysis_passes(manager)
        builder.populate(manager)
        manager.run(module)
    return bytes(machine.emit_object(module))


# The cache: one file a kernel, of object code and a checksum.


def folder() -> str:
    """Where compiled loops are kept; empty if nowhere."""
    from minpy.transform import cache

    root = cache.cache_dir()
    return os.path.join(root, "loops") if root else ""


def _cache_file(text: str, stamp: str) -> str:
    if sys.dont_write_bytecode or os.environ.get("MINPY_CACHE", "1").lower() in ("0", "false", "no", "off"):
        return ""
    import hashlib

    where = folder()
    name = hashlib.blake2b(f"{stamp}\0{text}".encode(), digest_size=16).hexdigest()
    return os.path.join(where, f"{name}.o") if where else ""


def _load(where: str) -> bytes | None:
    if not where:
        return None
    try:
        with open(where, "rb") as file:
            data = file.read()
    except OSError:
        return None
    if len(data) < 8 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        return None
    return data[4:]


def _store(where: str, code: bytes) -> None:
    if not where:
        return
    temporary = f"{where}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(zlib.crc32(code).to_bytes(4, "little") + code)
        os.replace(temporary, where)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
