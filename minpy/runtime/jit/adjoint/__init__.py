"""Loops under a tape: compiled forward with a log, and compiled backward in the reverse sweep.

A loop over numbers and elements (`reading`, `program`) is written anew twice, as loops of the same kind (`derive`): one
that puts on a stack what it overwrites, and one that runs the rounds backward, takes that from the stack and adds up
cotangents. Both are compiled as any other loop is; `taped` runs them and puts one record for
all the rounds on the tape.
"""
