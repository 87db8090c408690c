"""Prints, as JSON, everything that a program can see of how it was started."""
# ruff: noqa: E402 - the first half looks at a process in which nothing else was imported

import json
import os
import sys


def describe_spec(spec):
    if spec is None:
        return None
    return [
        spec.name,
        spec.origin,
        spec.cached,
        spec.parent,
        spec.has_location,
        spec.submodule_search_locations,
    ]


def depth(n=1):
    try:
        return depth(n + 1)
    except RecursionError:
        return n


class Pickled:
    pass


seen = {
    "names": list(globals()),
    "argv": sys.argv,
    "name": __name__,
    "doc": __doc__,
    "file": globals().get("__file__", "absent"),
    "cached": globals().get("__cached__", "absent"),
    "package": __package__,
    "spec": describe_spec(__spec__),
    "spec's loader is the loader": __spec__ is None or __spec__.loader is __loader__,
    "loader's name": getattr(__loader__, "name", "absent"),
    "loader's path": getattr(__loader__, "path", getattr(__loader__, "archive", "absent")),
    "annotations": __annotations__,
    "builtins": repr(__builtins__),
    "main is main": sys.modules["__main__"].__dict__ is globals(),
    "path": sys.path,
    "folder": os.getcwd(),
    "environ": {k: v for k, v in os.environ.items() if k not in ("_", "SHLVL")},
    "flags": list(sys.flags),
    "warnoptions": sys.warnoptions,
    "_xoptions": sys._xoptions,
    "debug": __debug__,
    "executable": sys.executable,
    "code": [sys._getframe().f_code.co_filename, sys._getframe().f_code.co_name, sys._getframe().f_lineno],
    "function": [
        depth.__module__,
        depth.__qualname__,
        depth.__code__.co_filename,
        depth.__code__.co_firstlineno,
    ],
    "class": [Pickled.__module__, Pickled.__qualname__],
    "reach": depth(),
    "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__],
    "trace": [sys.gettrace(), sys.getprofile()],
    "handling": list(sys.exc_info()),
    "last": [hasattr(sys, "last_value"), hasattr(sys, "last_traceback")],
    "dont_write_bytecode": sys.dont_write_bytecode,
    "recursion limit": sys.getrecursionlimit(),
    "orig_argv": sys.orig_argv,
    "meta_path": [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path],
    "loader's type": str(__loader__ if isinstance(__loader__, type) else type(__loader__)),
}

import inspect
import pickle
import threading
import warnings

seen["filters"] = [[f[0], str(f[2]), f[3], f[4]] for f in warnings.filters]
seen["threads"] = [thread.name for thread in threading.enumerate()]
seen["rest of stdin"] = sys.stdin.read() if not sys.stdin.closed else "closed"
try:
    seen["source"] = inspect.getsource(depth)
except OSError as error:
    seen["source"] = str(error)
seen["pickled"] = [pickle.loads(pickle.dumps(Pickled)) is Pickled, pickle.loads(pickle.dumps(depth)) is depth]

print("PROBE" + json.dumps(seen))
