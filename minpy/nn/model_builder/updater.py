"""`Updater`: parameters follow their gradients, each by its rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minpy.nn import checks, optim
from minpy.nn.model import ModelBase

_ALIASES = {"lr": "learning_rate"}


class _Attributes:
    """Options of one parameter: an attribute that is not set is the updater's."""

    def __init__(self, updater: Updater) -> None:
        object.__setattr__(self, "_updater", updater)
        object.__setattr__(self, "own", {})

    def __getattr__(self, name: str) -> Any:
        name = _ALIASES.get(name, name)
        return self.own[name] if name in self.own else getattr(self._updater, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.own[_checked(name, value)] = value


class Updater:
    """Updates the parameters of a model by gradients.

    Parameters
    ----------
    model : ModelBase
    **attrs
        ``update_rule`` (sgd if it is not given) and the options of rules (``learning_rate``, ``momentum`` …): see
        `minpy.nn.optim`. They are attributes of the updater, and of one parameter ``updater[name].learning_rate``.

    Raises
    ------
    ArgumentError
        For an option that no rule has.

    Examples
    --------
    >>> updater = Updater(model, update_rule="sgd_momentum", learning_rate=0.1)
    >>> loss = model(x, labels=y)
    >>> updater(model.backward())
    """

    def __init__(self, model: ModelBase, **attrs: Any) -> None:
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "_shared", {"update_rule": "sgd"})
        object.__setattr__(self, "_own", {})
        object.__setattr__(self, "_states", {})
        for name, value in attrs.items():
            setattr(self, name, value)
        optim.check_options(
            self._shared["update_rule"], {k: v for k, v in self._shared.items() if k != "update_rule"}
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self._shared[_checked(name, value)] = value

    def __getattr__(self, name: str) -> Any:
        shared = self.__dict__.get("_shared", {})
        name = _ALIASES.get(name, name)
        if name not in shared:
            raise AttributeError(f"this updater has no {name!r}: it has {', '.join(shared)}")
        return shared[name]

    def __getitem__(self, param: str) -> _Attributes:
        """The options of one parameter."""
        checks.choice("Updater", "the parameter", param, self.model.param_configs)
        if param not in self._own:
            self._own[param] = _Attributes(self)
        return self._own[param]

    def __call__(self, grads: Mapping[str, Any]) -> None:
        """Update the parameters that have a gradient here.

        Parameters
        ----------
        grads : mapping of str to array
            As ``model.backward()`` gives it.
        """
        for name in grads:
            checks.choice("Updater", "the parameter", name, self.model.param_configs)
        for name, gradient in grads.items():
            rule, options = self._options(name)
            state = self._states.setdefault(name, {})
            before, config = set(options), {**state, **options}
            value, config = optim.get(rule)(self.model.params[name], gradient, config)
            self.model.params[name] = value
            self._states[name] = {k: v for k, v in config.items() if k not in before}

    def _options(self, name: str) -> tuple[Any, dict[str, Any]]:
        config = self.model.param_configs[name]
        own = self._own[name].own if name in self._own else {}
        layers = (
            self._shared,
            {k: config[k] for k in ("update_rule",) if k in config},
            config.get("optim_config") or {},
            own,
        )
        merged: dict[str, Any] = {}
        for each in layers:
            merged.update({_ALIASES.get(k, k): v for k, v in each.items()})
        rule: Any = merged.pop("update_rule")
        known = getattr(optim.get(rule), "options", None)
        if known is not None and rule != self._shared["update_rule"]:
            # (Options of the rule of all others are none of this one's.)
            mine = {*(config.get("optim_config") or {}), *own}
            merged = {k: v for k, v in merged.items() if k in known or k in mine}
        return rule, merged


def _checked(name: str, value: Any) -> str:
    name = _ALIASES.get(name, name)
    if name == "update_rule":
        optim.get(value)
        return name
    known = sorted({option for rule in optim.RULES.values() for option in rule.options})  # type: ignore[attr-defined]
    checks.choice("Updater", "an option", name, [*known, "update_rule"])
    return name
