"""Compiled loops: a loop nest over array elements, run by LLVM where that gives what Python and NumPy give.

`sites` is what rewritten loops call, `drive` decides when a loop is worth compiling, `lower` makes LLVM code of a
loop for the types it meets, `engine` compiles it. See ``docs/jit.md``.
"""
