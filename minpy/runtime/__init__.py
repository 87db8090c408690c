"""What rewritten code calls: arrays, storages, dispatch, policies, contexts, the tape, profiles."""

from minpy.runtime import originals

originals.watch(__path__[0], "primitives", "jit", "jit/adjoint", "fuse")
