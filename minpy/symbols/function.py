"""`Function`: an MXNet symbol as a differentiable function of arrays."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from minpy.autodiff.operation import Call, Operation
from minpy.errors import GradientError, UsageError
from minpy.runtime import entry
from minpy.runtime.array import Array, host
from minpy.runtime.backends.mxnet import copy_in, copy_out, load
from minpy.runtime.context import current_context
from minpy.runtime.record import tape_of
from minpy.symbols import initial
from minpy.symbols.executors import Executors, Lease
from minpy.symbols.initial import MXNetSymbolError

# Operators that draw random numbers while they run: a forward run cannot be repeated.
_RANDOM = ("Dropout", "_random_", "_sample_", "sample_", "random_", "_shuffle")


class _Run:
    """A forward run: its executor, which holds the arguments, and the program's auxiliary states.

    Of those that MXNet may change, `begun` holds what they were at the run.
    """

    __slots__ = ("aux", "begun", "lease", "swept")

    def __init__(self, lease: Lease, aux: dict[str, Any], begun: dict[str, np.ndarray]) -> None:
        self.lease, self.aux, self.begun = lease, aux, begun
        self.swept = False


class Function(Operation):
    """An MXNet symbol as a function of arrays, differentiable like any other.

    It computes in the widest floating-point type among its arguments (float32 if there is none), in the current
    context, and gives NumPy arrays; on a tape it is one operation, whose derivative is MXNet's own. The same function
    may be applied any number of times, to any shapes, before derivatives are taken. Output layers such as
    ``SoftmaxOutput`` ignore the derivative that comes from above, as they do in MXNet.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        One output or a group of several.
    input_shapes : mapping of str to tuple of int, optional
        Shapes of the inputs. Those of all other arguments follow from them; see `get_params`. Without it they are taken
        from each call.
    name : str
        What messages and profiles call the function.
    dtype : str or numpy.dtype, optional
        The type to compute in, whatever the arguments are.

    Attributes
    ----------
    is_train : bool
        Whether the symbol runs in training mode (dropout, batch normalisation); True at first.
    aux_states : dict of str to numpy.ndarray
        Auxiliary states that calls do not give: moving averages, made at the first call.

    Raises
    ------
    MXNetSymbolError
        If the shapes do not fit the symbol.

    Examples
    --------
    >>> net = mxnet.sym.FullyConnected(mxnet.sym.Variable("x"), name="fc", num_hidden=10)
    >>> f = Function(net, input_shapes={"x": (8, 5)})
    >>> f.get_params()
    {'fc_weight': {'shape': (10, 5)},
     'fc_bias': {'shape': (10,), 'init_rule': 'constant', 'init_config': {'value': 0.0}}}
    >>> y = f(x=x, fc_weight=w, fc_bias=b)
    """

    def __init__(
        self,
        symbol: Any,
        input_shapes: Mapping[str, tuple[int, ...]] | None = None,
        name: str = "mxnet_symbol",
        dtype: Any = None,
    ) -> None:
        if not hasattr(symbol, "list_auxiliary_states"):
            raise UsageError(f"Function takes an MXNet symbol, not {type(symbol).__name__}")

        def run(**kwargs: Any) -> Any:
            return self._results(self._forward(kwargs, derivable=False))

        run.__name__ = run.__qualname__ = name
        super().__init__(run)
        self._symbol, self._executors = symbol, Executors(symbol)
        self._arguments = symbol.list_arguments()
        self._aux_names = symbol.list_auxiliary_states()
        self._outputs = symbol.list_outputs()
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._input_shapes = None if input_shapes is None else self._checked(input_shapes)
        self.is_train = True
        self.aux_states: dict[str, np.ndarray] = {}
        self._routed = functools.lru_cache(maxsize=2)(self._program)
        self._shapes_of = functools.lru_cache(maxsize=64)(self._infer)

    def __repr__(self) -> str:
        return f"<Function {self._row.name}({', '.join(self._arguments)})>"

    def _checked(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        if not isinstance(shapes, Mapping):
            raise UsageError(
                f"input_shapes is a mapping of names to shapes, such as {{'x': (8, 3)}}, not {shapes!r}"
            )
        for name in shapes:
            if name not in self._arguments:
                raise MXNetSymbolError(
                    f"{self._row.name} has no argument {name!r}: it takes {', '.join(self._arguments)}"
                )
        return {name: tuple(shape) for name, shape in shapes.items()}

    # ----- shapes

    def _infer(self, given: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[dict, dict, list]:
        """Shapes of arguments, of auxiliary states and of outputs."""
        try:
            # `infer_shape` prints what it was given before it raises.
            arguments, outputs, aux = self._symbol._infer_shape_impl(False, **dict(given))
        except load().base.MXNetError as error:
            what = str(error).strip().split("\n")
            line = next((each for each in reversed(what) if "Error in operator" in each), what[-1])
            raise MXNetSymbolError(
                f"{self._row.name} cannot be applied to "
                f"{', '.join(f'{name} {shape}' for name, shape in given)}: {line.strip()}"
            ) from None
        if arguments is None:
            raise MXNetSymbolError(
                f"the shapes of all arguments of {self._row.name} do not follow from "
                f"{', '.join(f'{name} {shape}' for name, shape in given) or 'nothing'}: "
                f"it takes {', '.join(self._arguments)}"
            )
        return (
            dict(zip(self._arguments, arguments, strict=True)),
            dict(zip(self._aux_names, aux, strict=True)),
            outputs,
        )

    def _from_inputs(self) -> tuple[dict, dict, list]:
        if self._input_shapes is None:
            raise UsageError(
                f"the shapes of {self._row.name} are not known before it is called: "
                "give Function the shapes of its inputs (input_shapes={'x': (8, 3), …})"
            )
        return self._shapes_of(tuple(sorted(self._input_shapes.items())))

    def get_params(self) -> dict[str, dict[str, Any]]:
        """The arguments that are not inputs, each as ``{"shape": …}``: the parameters of the symbol.

        For `minpy.nn.model.ModelBase.add_params`. Those that start otherwise than by the solver's rule have
        ``init_rule`` and ``init_config`` too: biases and shifts (``…_bias``, ``…_beta``) at 0, scales (``…_gamma``) at
        1, and variables that the symbol has an initialiser for, ``mx.sym.Variable("w", init=mx.init.Normal(0.1))``.
        """
        shapes, attributes = self._from_inputs()[0], self._symbol.attr_dict()
        assert self._input_shapes is not None
        return {
            name: {"shape": shapes[name], **initial.settings(name, attributes.get(name, {}))}
            for name in self._arguments
            if name not in self._input_shapes
        }

    def get_aux_params(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """The auxiliary states, each as ``{"shape": …}``."""
        return {name: {"shape": shape} for name, shape in self._from_inputs()[1].items()}

    def get_output_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output, by name."""
        return dict(zip(self._outputs, self._from_inputs()[2], strict=True))

    def get_one_output_shape(self) -> tuple[int, ...]:
        """The shape of the only output.

        Raises
        ------
        UsageError
            If there are several.
        """
        if len(self._outputs) != 1:
            raise UsageError(f"{self._row.name} has {len(self._outputs)} outputs: {', '.join(self._outputs)}")
        return self._from_inputs()[2][0]

    # ----- forward

    def __call__(self, **kwargs: Any) -> Any:
        """Apply the symbol.

        Parameters
        ----------
        **kwargs : array_like
            Arguments and auxiliary states by name; names that the symbol does not know are left out, so that all
            parameters of a model can be given. Auxiliary states are updated in place when derivatives are taken, once
            for each call. A label (``…_label``) may be missing: it is then zero.

        Returns
        -------
        numpy.ndarray or tuple of numpy.ndarray
            One for each output.

        Raises
        ------
        MXNetSymbolError
            If an argument is missing or has the wrong shape.
        """
        known = {name: kwargs[name] for name in (*self._arguments, *self._aux_names) if name in kwargs}
        context = current_context()
        if entry.others and not context.is_host and context.device().backend != "mxnet":
            program = self._routed(bool(self.is_train))
            if program is not None:
                return self._on_device(program, known)
        return super().__call__(**known)

    def _program(self, train: bool) -> Any:
        """The symbol as a program of routed functions; None if it is not one."""
        from minpy.symbols.routed import Routed, Unroutable  # with the library's layers

        try:
            return Routed(self._symbol, train)
        except Unroutable:
            return None

    def _on_device(self, program: Any, known: dict[str, Any]) -> Any:
        given, shapes, _, dtype = self._taken(known)
        values = {
            name: given[name] if given[name].dtype == dtype else given[name].astype(dtype) for name in given
        }
        for name in self._arguments:
            if name not in values:
                values[name] = np.zeros(shapes[name], dtype)
        results = program.run(values)
        return results[0] if len(results) == 1 else results

    def _taken(self, known: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict, dict, Any]:
        """What a call is given, as arrays; the shapes of all arguments and auxiliary states; the type to compute in."""
        given = {n: v if isinstance(v, np.ndarray) else np.asarray(v) for n, v in known.items()}
        missing = [name for name in self._arguments if name not in given and not name.endswith("_label")]
        shapes = tuple((name, given[name].shape) for name in self._arguments if name in given)
        if missing:
            raise MXNetSymbolError(f"{self._row.name} lacks {', '.join(missing)}")
        for name, shape in shapes:
            if not shape or 0 in shape:
                raise MXNetSymbolError(
                    f"{name} of {self._row.name} has the shape {shape}: MXNet has no arrays without elements or axes"
                )
        arguments, aux_shapes, _ = self._shapes_of(shapes)
        return given, arguments, aux_shapes, self._dtype or _widest(given.values())

    def _forward(self, kwargs: dict[str, Any], derivable: bool) -> _Run:
        given, arguments, aux_shapes, dtype = self._taken(kwargs)
        context = current_context().where_mxnet_runs()
        shapes_of_all = {**arguments, **aux_shapes}
        lease = self._executors.lend(shapes_of_all, dtype, context, bool(self.is_train), derivable)
        executor = lease.executor
        for name in self._arguments:
            if name in given:
                lease.write(executor.arg_dict[name], np.ascontiguousarray(_plain(given[name]), dtype))
            else:
                executor.arg_dict[name][:] = 0
        aux, begun = {}, {}
        for name, shape in aux_shapes.items():
            state = given.get(name)
            if state is None:
                state = self.aux_states.get(name)
                if state is None or state.shape != shape:
                    state = np.full(shape, float(name.endswith("var")), dtype)
                    self.aux_states[name] = state
            elif state.shape != shape:
                raise MXNetSymbolError(
                    f"{name} of {self._row.name} must have the shape {shape}, not {state.shape}"
                )
            aux[name] = state
            begun[name] = np.array(_plain(state), dtype, order="C")
            lease.write(executor.aux_dict[name], begun[name])
        executor.forward(is_train=lease.is_train)
        return _Run(lease, aux, begun)

    def _results(self, run: _Run) -> Any:
        values = tuple([_host(output) for output in run.lease.executor.outputs])
        return values[0] if len(values) == 1 else values

    # ----- what the tape asks for

    def _check_rules(self) -> None:
        pass

    def _value(self, call: Call, args: tuple, kwargs: dict) -> Any:
        run = call.residuals = self._forward(kwargs, derivable=True)
        return self._results(run)

    def _cotangents(self, g: Any, ans: Any, leaves: list, call: Call) -> list[Any]:
        # (Arrays on a device, of no tape, are plain enough.)
        if any(type(leaf) is Array and tape_of(leaf.storage) is not None for leaf in leaves):
            raise GradientError(
                f"{self._row.name} is an MXNet symbol, which has first derivatives only. The call was at {call.line}"
            )
        run: _Run = call.residuals
        executor = run.lease.executor
        if run.swept:
            self._repeat(run, call)
        heads = []
        for output, d in zip(executor.outputs, g, strict=True):
            head = _nd().empty(output.shape, ctx=output.context, dtype=output.dtype)
            value = np.zeros(output.shape) if d is None else np.reshape(_plain(d), output.shape)
            copy_in(head, np.ascontiguousarray(value, output.dtype))
            heads.append(head)
        executor.backward(heads)
        if not run.swept:
            self._store_aux(run)
        run.swept = True
        found = {
            name: executor.grad_dict[name].asnumpy()
            for name in call.arguments[1]
            if name in executor.grad_dict
        }
        return self._by_argument(found, call, leaves)

    def _tangents(self, tangents: tuple, ans: Any, leaves: list, call: Call) -> list[Any]:
        raise GradientError(
            f"{self._row.name} is an MXNet symbol, which has no forward mode: use grad, vjp or jacobian. "
            f"The call was at {call.line}"
        )

    def _repeat(self, run: _Run, call: Call) -> None:
        """Run forward again: a backward run may have overwritten what it read."""
        for node in json.loads(self._symbol.tojson())["nodes"]:
            if node["op"].startswith(_RANDOM) and run.lease.is_train:
                raise GradientError(
                    f"{self._row.name} draws random numbers ({node['op']}), so a second derivative of the same call "
                    f"would be another function's. The call was at {call.line}"
                )
        for name, state in run.begun.items():
            run.lease.write(run.lease.executor.aux_dict[name], state)
        run.lease.executor.forward(is_train=run.lease.is_train)

    def _store_aux(self, run: _Run) -> None:
        # MXNet updates moving averages in its backward run. They are the program's arrays.
        if run.aux:
            _nd().waitall()  # MXNet does not order what an operator writes there with what is read
        for name, state in run.aux.items():
            new = _host(run.lease.executor.aux_dict[name])
            if type(state) is np.ndarray and not state.flags.writeable:
                continue
            state[...] = new


def _nd() -> Any:
    return load().nd


def _host(handle: Any) -> np.ndarray:
    value = np.empty(handle.shape, handle.dtype)
    copy_out(handle, value)
    return value


def _plain(value: Any) -> np.ndarray:
    return value if type(value) is np.ndarray else np.asarray(host(value))


def _widest(values: Any) -> np.dtype:
    kinds = {value.dtype for value in values if value.dtype.kind == "f"}
    return np.result_type(*kinds) if kinds else np.dtype(np.float32)
