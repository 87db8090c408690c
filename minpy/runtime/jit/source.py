"""The source of a loop: found again, when it is worth compiling, in the file that the running code names."""

from __future__ import annotations

import ast
import linecache
import os
import tokenize
import zlib
from functools import lru_cache

from minpy import handlers


def digest(text: str) -> str:
    """What tells one text from another; ends of lines do not count."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"{zlib.crc32(lines.encode('utf-8', 'surrogatepass')):08x}"


def _text(filename: str) -> str:
    if os.path.isfile(filename):
        try:
            with tokenize.open(filename) as file:
                return file.read()
        except (OSError, SyntaxError, UnicodeError) as error:
            if handlers.raised(error):
                raise
            return ""
    return "".join(linecache.getlines(filename))


@lru_cache(maxsize=64)
def _tree(filename: str, wanted: str) -> tuple[ast.Module, str]:
    text = _text(filename)
    if digest(text) == wanted:
        try:
            return ast.parse(text), text
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return ast.Module([], []), ""


@lru_cache(maxsize=64)
def loops_of(filename: str, wanted: str) -> dict[int, tuple[ast.For | ast.While, str]]:
    """The loops of a file, and their text, by line; empty if it is not the file that was rewritten."""
    tree, text = _tree(filename, wanted)
    lines = text.split("\n")
    return {
        node.lineno: (node, "\n".join(lines[node.lineno - 1 : node.end_lineno]))
        for node in ast.walk(tree)
        if isinstance(node, (ast.For, ast.While))
    }


@lru_cache(maxsize=64)
def functions_of(filename: str, wanted: str) -> dict[int, ast.FunctionDef]:
    """The functions of a file by line, as `loops_of`."""
    tree, _ = _tree(filename, wanted)
    return {node.lineno: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
