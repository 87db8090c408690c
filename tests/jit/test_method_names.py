"""The loops' lowering is one class over many: a name that two of them give to different things breaks what uses it."""

import ast
import inspect
import textwrap

import pytest

from minpy.runtime.jit.lower import _Lowering

LAYERS = [layer for layer in _Lowering.__mro__ if layer is not object]
# Attributes that the topmost class sets to what it was given, when those below have made them empty.
FILLED = {"known", "line", "widths", "helpers", "shapes", "counts", "logging"}


def body_of(layer):
    return ast.parse(textwrap.dedent(inspect.getsource(layer))).body[0].body


FUNCTIONS = {
    layer: {each.name: each for each in body_of(layer) if isinstance(each, ast.FunctionDef)}
    for layer in LAYERS
}


def is_declared_only(function):
    """Whether nothing stands in it but a docstring and ``raise NotImplementedError``."""
    rest = [each for each in function.body if not isinstance(getattr(each, "value", None), ast.Constant)]
    return [ast.unparse(each) for each in rest] == ["raise NotImplementedError"]


def calls_the_next(function):
    return any(f"super().{function.name}" in ast.unparse(each) for each in function.body)


def attributes(layer):
    """What the methods of a class set of `self`, with the method's name."""
    return {
        (each.attr, function.name)
        for function in FUNCTIONS[layer].values()
        for each in ast.walk(function)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
        if isinstance(each.value, ast.Name) and each.value.id == "self"
    }


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_a_method_hides_no_other_one(layer):
    below = LAYERS[LAYERS.index(layer) + 1 :]
    for name, function in FUNCTIONS[layer].items():
        hidden = next((each for each in below if name in FUNCTIONS[each]), None)
        if hidden is not None:
            assert calls_the_next(function) or is_declared_only(FUNCTIONS[hidden][name]), (
                f"{name} of {hidden.__name__} is another one"
            )


def test_no_attribute_has_the_name_of_a_method():
    methods = {name for layer in LAYERS for name in FUNCTIONS[layer]}
    assert {name for layer in LAYERS for name, _ in attributes(layer)} & methods == set()


def test_each_attribute_is_begun_in_one_class():
    begun = [name for layer in LAYERS for name, function in attributes(layer) if function == "__init__"]
    assert {name for name in begun if begun.count(name) > 1} <= FILLED
