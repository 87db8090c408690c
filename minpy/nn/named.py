"""Rules that are found by their names (`minpy.nn.init`, `minpy.nn.optim`), and what they say of themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from minpy.nn import checks


def describe(rule: Any, function: Callable[..., Any], text: str, options: Mapping[str, Any]) -> None:
    """Give `rule`, which calls `function`, its name, and its docstring with the part that all rules of a table share.

    Not by `functools.wraps`: what help shows is to be the rule's own signature.

    Parameters
    ----------
    rule : function
        What callers get.
    function : function
        What computes; its docstring says how.
    text : str
        Parameters, results and errors, in which ``{options}`` stands for the options with their defaults.
    options : mapping of str to object
        The options with their defaults.
    """
    rule.__module__, rule.__name__, rule.__qualname__ = (
        function.__module__,
        function.__name__,
        function.__qualname__,
    )
    if function.__doc__ is not None:  # as with python -OO
        each = ", ".join(
            f"`{name}` ({getattr(value, '__name__', None) or format(value, '.5g')})"
            for name, value in options.items()
        )
        rule.__doc__ = inspect.cleandoc(function.__doc__) + "\n" + text.format(options=each)


def find(where: str, argument: str, rule: Any, table: Mapping[str, Any]) -> Any:
    """The rule of a table by its name; a function is its own rule.

    Parameters
    ----------
    where, argument : str
        What the error names: the module, and the argument that named the rule.
    rule : str or callable
        The name, or the rule itself.
    table : mapping of str to callable
        The rules by name.

    Returns
    -------
    callable

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    if callable(rule):
        return rule
    found = table.get(rule) if type(rule) is str else None
    if found is None:
        checks.choice(where, argument, rule, table)
        found = table[rule]
    return found
