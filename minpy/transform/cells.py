"""Notebooks: the cells of an IPython session are rewritten as the import hook rewrites modules.

IPython parses a cell and compiles its statements one by one. The parser of its session is exchanged for one that gives
the rewritten tree, with the positions of the cell as it was written; all else is IPython's.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

from minpy.errors import RewriteError, RewriteWarning
from minpy.options import Options
from minpy.places import places_in
from minpy.transform import build
from minpy.transform.granted import granted, path_of

if TYPE_CHECKING:
    from minpy.transform.hook import Installation

_ATTRIBUTE = "_minpy_cells"


class Cells:
    """The parser of one IPython session while cells are rewritten."""

    def __init__(self, shell: Any, options: Options) -> None:
        self.shell, self.options = shell, options
        self._parse = shell.compile.ast_parse
        # Names that cells took for NumPy's, and what they were.
        self._taken: dict[str, Any] = {}

    def parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> ast.AST:
        """What ``ast_parse`` of IPython's compiler gives, rewritten.

        Raises
        ------
        SyntaxError
            As IPython's own parser does.
        RewriteError
            Under ``strict``, if the cell cannot be rewritten.

        Warns
        -----
        RewriteWarning
            If the cell cannot be rewritten: it runs as written.
        """
        plain = self._parse(source, filename, symbol)
        if not isinstance(source, str) or symbol != "exec":
            return plain
        namespace = self.shell.user_ns
        self._check(filename)
        given = granted(source, namespace)
        flags = self.shell.compile.flags
        try:
            with build.quiet_imports(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's: they were given for the cell as it stands
                from minpy.transform.rewriter import mapped_tree

                text = source if source.endswith("\n") else source + "\n"
                tree = mapped_tree(text, filename, self.options, flags=flags, given=given)
                code = compile(
                    tree, filename, "exec", flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
                )
        except Exception as error:  # a broken libcst, a bug of ours: the cell must run all the same
            reason = str(error) if isinstance(error, RewriteError) else f"{type(error).__name__}: {error}"
            if self.options.strict:
                raise RewriteError(f"{filename}: the cell cannot be rewritten: {reason}") from None
            line = getattr(error, "line", None) or 1
            warnings.warn_explicit(f"the cell runs unmodified: {reason}", RewriteWarning, filename, line)
            return plain
        self._take(plain, code, given)
        return tree

    def _take(self, plain: ast.AST, code: CodeType, given: dict[str, str | None]) -> None:
        from minpy.runtime import flags

        # (The code that will run is IPython's, of the same tree: it asks the flags that it has.)
        flags.expect(places_in(code))
        if not any(isinstance(constant, CodeType) for constant in code.co_consts):
            return  # what has run cannot go wrong any more
        namespace, bound = self.shell.user_ns, set(_bound(plain))
        for name, path in given.items():
            if path is not None and name not in bound:
                self._taken[name] = namespace[name]

    def _check(self, filename: str) -> None:
        """Say so, once, where a name that cells took for NumPy's means something else now."""
        namespace = self.shell.user_ns
        for name, value in list(self._taken.items()):
            now = namespace.get(name, value)
            if now is value:
                continue
            del self._taken[name]
            warnings.warn_explicit(
                f"{name} was {_spelled(path_of(value))} when earlier cells ran and is another object now: functions "
                f"that they define still call the former; run those cells again",
                RewriteWarning,
                filename,
                1,
            )

    def detach(self) -> None:
        """Give the session its own parser back."""
        if self.shell.compile.__dict__.get("ast_parse") == self.parse:
            del self.shell.compile.ast_parse
        if getattr(self.shell, _ATTRIBUTE, None) is self:
            delattr(self.shell, _ATTRIBUTE)


def _bound(tree: ast.AST) -> Iterator[str]:
    """The names that a cell binds, in any scope."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]


def _spelled(path: str | None) -> str:
    if path is not None and path.startswith(":"):
        return path[1:]
    return f"numpy.{path}" if path else "numpy"


def running_shell() -> Any:
    """The IPython session that this process runs, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell if hasattr(getattr(shell, "compile", None), "ast_parse") else None


def settle(options: Options | None) -> None:
    """Rewrite the cells of the running session with these options from now on; with None, no longer."""
    shell = running_shell()
    if shell is None:
        return
    cells: Cells | None = getattr(shell, _ATTRIBUTE, None)
    if options is None:
        if cells is not None:
            cells.detach()
    elif cells is not None:
        cells.options = options
    else:
        cells = Cells(shell, options)
        setattr(shell, _ATTRIBUTE, cells)
        shell.compile.ast_parse = cells.parse


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext minpy``: rewrite the cells that follow, and the modules that they import.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        The session, which IPython gives.
    """
    from minpy.transform import hook

    if getattr(shell, "_minpy_extension", None) is None:
        shell._minpy_extension = hook.install()


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext minpy``: cells and modules from now on run as written.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        The session, which IPython gives.
    """
    installation: Installation | None = getattr(shell, "_minpy_extension", None)
    if installation is not None:
        installation.uninstall()
        shell._minpy_extension = None
