"""`Solver`: the loop that trains a model."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minpy.autodiff import grad_and_loss
from minpy.errors import DivergenceError
from minpy.nn import checkpoints, checks, evaluation, files, given, init, optim, replicas, team
from minpy.nn.callbacks import AfterEpoch, Callback, bar, no_bar
from minpy.nn.io import DataBatch
from minpy.nn.model import ModelBase, snapshot
from minpy.runtime.array import host
from minpy.runtime.context import Context

TASKS = ("classification", "regression")


class Solver:
    """Trains a model on the batches of an iterator, and evaluates it on those of another after each epoch.

    Parameters
    ----------
    model : ModelBase
    train_dataiter, test_dataiter : DataIter
        Batches to learn from, and to evaluate on.
    task_type : {'classification', 'regression'}
        Evaluation is by accuracy (more is better), or by mean loss (less is better).
    init_rule, init_config : str or callable, dict
        Initial values of parameters that do not say otherwise: see `minpy.nn.init`.
    update_rule, optim_config : str or callable, dict
        How parameters learn that do not say otherwise: see `minpy.nn.optim`.
    lr_decay : float
        What every learning rate is multiplied by after each epoch.
    num_epochs : int
    train_acc_num_samples : int, optional
        How many training samples, chosen at random, the evaluation after an epoch looks at; None for all.
    print_every : int
        Iterations from one line about the loss to the next.
    verbose : bool
        Whether anything is printed.
    loss : str or callable, optional
        Takes the place of the model's loss: a loss of `minpy.nn.layers` by name, or a function of outputs and label.
    callbacks : iterable of Callback or callable
        A plain function is called with the solver after each epoch.
    early_stop : int, optional
        End after so many epochs in a row without a better evaluation.
    progress : bool
        Show a progress bar.
    checkpoint : str or path, optional
        A file for the state of the training, written after each epoch, as a whole or not at all.
    checkpoint_every : int, optional
        Write it after so many iterations, too.
    resume : bool
        Go on from the file `checkpoint` if it is there. What comes is then, bit for bit, what would have come.
    dtype : optional
        Precision of the parameters; by default that of the training data if it is floating-point, else float32.
    visualize : bool
        Write loss, gradient and evaluations for TensorBoard (extra ``viz``).
    summaries_dir : str or path
        The folder that they are written to, into ``train`` and ``test``; see `minpy.visualization.training`.
    kvstore : {'local', 'device', 'nccl', 'dist_sync', 'dist_async'} or KVStore, optional
        The first three: where the gradients of several devices are added up, on the host, on the devices (the default),
        or there by NCCL and not otherwise (see docs/gpu.md). The others: how the processes that
        ``minpy run --workers`` started train together, after each step the same everywhere, or each at its own pace
        (see docs/distributed.md). A process that was started alone trains alone.
    context : Context or sequence of Context, optional
        Train on this device; on several, of which each takes its share of every batch; by default on the current one.

    Attributes
    ----------
    loss_history, train_acc_history, val_acc_history : list of float
        The loss of each iteration, and the evaluations of each epoch.
    best_val_acc : float
        The best evaluation; `best_params` and `best_aux_params` are the parameters then. The model has them in the end.
    epoch, iteration : int
        How many are done; during an epoch, its number from 1.

    Raises
    ------
    ArgumentError
        For an option or rule that does not exist.
    """

    def __init__(
        self,
        model: ModelBase,
        train_dataiter: Any,
        test_dataiter: Any,
        *,
        task_type: str = "classification",
        init_rule: str | init.Rule = "xavier",
        init_config: dict[str, Any] | None = None,
        update_rule: str | optim.Rule = "sgd",
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        num_epochs: int = 10,
        train_acc_num_samples: int | None = 1000,
        print_every: int = 10,
        verbose: bool = True,
        loss: str | Callable[[Any, Any], Any] | None = None,
        callbacks: Iterable[Callback | Callable[[Solver], Any]] = (),
        early_stop: int | None = None,
        progress: bool = False,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        dtype: Any = None,
        visualize: bool = False,
        summaries_dir: str | os.PathLike = "summaries",
        kvstore: Any = None,
        context: Context | Sequence[Context] | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise given.unknown_option(Solver, sorted(unknown)[0])
        given.check_parts(model, train_dataiter, test_dataiter)
        checks.choice("Solver", "task_type", task_type, TASKS)
        given.check_rules(init_rule, init_config, update_rule, optim_config)
        given.check_numbers(
            num_epochs=num_epochs,
            print_every=print_every,
            train_acc_num_samples=train_acc_num_samples,
            early_stop=early_stop,
            checkpoint_every=checkpoint_every,
        )
        given.check_checkpoint(checkpoint, checkpoint_every, resume, train_dataiter)
        self.model, self.train_dataiter, self.test_dataiter = model, train_dataiter, test_dataiter
        self.task_type = task_type
        self.init_rule, self.init_config = init_rule, dict(init_config or {})
        self.update_rule, self.optim_config = update_rule, dict(optim_config or {})
        self.lr_decay, self.num_epochs = checks.number("Solver", "lr_decay", lr_decay), int(num_epochs)
        self.train_acc_num_samples, self.print_every, self.verbose = (
            train_acc_num_samples,
            print_every,
            verbose,
        )
        self.callbacks = [c if isinstance(c, Callback) else AfterEpoch(c) for c in callbacks]
        self.early_stop, self.progress = early_stop, progress
        self.checkpoint, self.checkpoint_every, self.resume = checkpoint, checkpoint_every, resume
        self.dtype = np.dtype(dtype) if dtype is not None else given.precision(train_dataiter)
        self._loss = given.loss_function(loss)
        self.contexts = replicas.contexts_of(context)
        self.team = team.of(kvstore, train_dataiter)
        self._replicas = replicas.of(self.contexts, kvstore, train_dataiter)
        if not self.team.chief:
            self.verbose = self.progress = False
        self.summaries: Any = None
        if visualize and self.team.chief:
            from minpy.visualization.training import Summaries

            self.summaries = Summaries(summaries_dir)
            self.callbacks.append(self.summaries)
        self.optim_configs: dict[str, dict[str, Any]] = {}
        self._reset()

    def _reset(self) -> None:
        if self.summaries is not None:
            self.summaries.run = None
        self.epoch = self.iteration = 0
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.best_val_acc = 0.0 if self.task_type == "classification" else float("inf")
        self.best_params: dict[str, Any] = {}
        self.best_aux_params: dict[str, Any] = {}
        self._waited, self._midway, self._stopped, self._resumed = 0, False, False, False

    # ----- parameters

    def init(self) -> None:
        """Give all parameters their initial values, and begin anew."""
        self._reset()
        self.model.params.clear()
        for name, config in self.model.aux_param_configs.items():
            self.model.aux_params[name] = config["value"]
        self._prepare()

    def _prepare(self) -> None:
        """Values and update rules for the parameters that have none yet."""
        for name, config in self.model.param_configs.items():
            if self.model.params.get(name) is None:
                self.model.params[name] = self._initial(name, config)
            if name not in self.optim_configs or not self.iteration:
                self.optim_configs[name] = self._optim_config(config)

    def _initial(self, name: str, config: dict[str, Any]) -> np.ndarray:
        # The options are those of the rule that they stand beside.
        own = "init_rule" in config
        options = dict(config.get("init_config") or ({} if own else self.init_config))
        rule = init.get(config["init_rule"] if own else self.init_rule)
        if rule in init.RULES.values():
            options.setdefault("dtype", self.dtype)
            return rule(config["shape"], options)
        value = np.array(rule(config["shape"], options), self.dtype)
        if value.shape != config["shape"]:
            raise checks.fail(
                "Solver",
                f"init_rule returned an array of shape {value.shape} for {name!r}, whose shape is {config['shape']}",
            )
        return value

    def _optim_config(self, config: dict[str, Any]) -> dict[str, Any]:
        shared = {} if "update_rule" in config else self.optim_config
        options = {**shared, **(config.get("optim_config") or {})}
        optim.check_options(self._update_rule(config), options)
        return options

    def _update_rule(self, config: dict[str, Any]) -> optim.Rule:
        return optim.get(config.get("update_rule", self.update_rule))

    # ----- steps

    def loss(self, batch: DataBatch) -> Any:
        """The loss of a batch in training, one number: what each step takes the gradient of. May be overridden."""
        return self._loss_of(batch, self.model.forward_batch(batch, "train"))

    def _loss_of(self, batch: DataBatch, outputs: Any) -> Any:
        if self._loss is None:
            return self.model.loss_batch(batch, outputs)
        return self._loss(outputs, batch.label[0])

    def grad_and_loss(self, batch: DataBatch) -> tuple[dict[str, Any], float]:
        """The gradient of each parameter, and the loss, for one batch. Nothing is updated."""
        if self._replicas is not None:
            return self._replicas.grad_and_loss(self, batch)
        grads, loss = self.differentiated(batch)
        return grads, float(np.asarray(host(loss)).reshape(()))

    def differentiated(self, batch: DataBatch) -> tuple[dict[str, Any], Any]:
        """As `grad_and_loss`, on the current device; the loss may still be on its way there."""
        params = self.model.params
        before = {name: params[name] for name in self.model.param_configs}
        if not before:
            raise checks.fail(
                "Solver",
                f"model has no parameters: give {type(self.model).__name__} some with add_param; one whose modules are "
                "its attributes has them once it was called with a batch, model(x)",
            )

        return _gradients(before, self, batch, before)

    def _placed(self) -> contextlib.AbstractContextManager:
        """On the device that holds the parameters."""
        return self.contexts[0] if self.contexts else _anywhere

    def step(self, batch: DataBatch | None) -> float | None:
        """Learn from one batch, and from those of the other workers.

        Parameters
        ----------
        batch : DataBatch or None
            None if this worker has no more, but others may have.

        Returns
        -------
        float or None
            The loss before the step; None if no worker had a batch, or one has stopped: there was no step.

        Raises
        ------
        DivergenceError
            If the loss is not finite; nothing was learned from the batch then.
        """
        if not self.optim_configs:
            self._prepare()
        with self._placed():
            loss = self.team.step(self, batch)
        if loss is not None:
            self.iteration += 1
            self.loss_history.append(loss)
        return loss

    def learn(self, grads: dict[str, Any], loss: float) -> None:
        """Change the parameters by the gradients of a loss, unless it is not finite; see `step`."""
        if not np.isfinite(loss):
            raise DivergenceError(
                f"the loss is {loss} at iteration {self.iteration + 1} (epoch {max(self.epoch, 1)}): "
                "try a smaller learning rate, or `minpy run --nan-check` to see where it begins"
            )
        for callback in self.callbacks:
            callback.on_gradients(self, grads)
        rules = {name: self._update_rule(config) for name, config in self.model.param_configs.items()}
        optim.follow(rules, self.model.params, grads, self.optim_configs)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called since the training began."""
        return self._stopped

    def stop(self) -> None:
        """End the training after the current step or epoch; for callbacks."""
        self._stopped = True

    # ----- training

    def train(self) -> None:
        """Train for `num_epochs` epochs; the model has its best parameters afterwards.

        Called again, it goes on for as many. Parameters that have no value yet are initialised.
        """
        if self.checkpoint is not None and self.team.chief:
            files.check_place(self.checkpoint)  # now, and not after an epoch
        if (
            self.resume
            and self.checkpoint is not None
            and not self.iteration
            and self.team.chief
            and os.path.exists(self.checkpoint)
        ):
            self.load_checkpoint(self.checkpoint)
        self._prepare()
        self.team.share(self)
        # A finished training that was resumed is finished; one that is asked to train again goes on.
        last = self.num_epochs
        while self.epoch >= last and not self._midway and not self._resumed:
            last += self.num_epochs
        ended = self._resumed and self._stopped
        self._resumed, self._stopped = False, ended
        try:
            for callback in self.callbacks:
                callback.on_begin(self)
            with bar(self, self._iterations(last)) if self.progress else no_bar() as advance:
                while (self.epoch < last or self._midway) and not self.team.any(self._stopped):
                    self._epoch(last, advance)
            if self.best_params:
                self.model.params.update(snapshot(self.best_params))
                self.model.aux_params.update(snapshot(self.best_aux_params))
            for callback in self.callbacks:
                callback.on_end(self)
        finally:
            for callback in self.callbacks:
                callback.on_exit(self)

    def _epoch(self, last: int, advance: Callable[[float], None]) -> None:
        start = time.perf_counter()
        if self._midway:
            self._midway = False  # a checkpoint was taken in the midst of this epoch
        else:
            self.epoch += 1
            self.train_dataiter.reset()
        self.team.begin_pass(self)
        total = self._iterations(last)
        for batch in self.team.batches(self.train_dataiter):
            loss = self.step(batch)
            if loss is None:
                break
            if self.verbose and (self.iteration - 1) % self.print_every == 0:
                print(f"(Iteration {self.iteration}{f' / {total}' if total else ''}) loss: {loss:f}")
            advance(loss)
            for callback in self.callbacks:
                callback.on_step(self, loss)
            if self.checkpoint_every and self.iteration % self.checkpoint_every == 0:
                self._midway = True
                self.save_checkpoint()
                self._midway = False
            if self._stopped and self.team.alone:
                return
        self.team.end_pass(self)
        if self._stopped:
            return
        for config in self.optim_configs.values():
            if self.lr_decay != 1.0 and "learning_rate" in config:
                config["learning_rate"] *= self.lr_decay
        self._evaluate(last, start)
        for callback in self.callbacks:
            callback.on_epoch(self)
        if self.checkpoint is not None:
            self.save_checkpoint()

    def _iterations(self, last: int) -> int | None:
        count = getattr(self.train_dataiter, "getnumiterations", None)
        return None if count is None else int(count()) * last

    def _evaluate(self, last: int, start: float) -> None:
        train = self.team.mean(*self._rate(self.train_dataiter, self.train_acc_num_samples))
        val = self.team.mean(*self._rate(self.test_dataiter, None))
        self.train_acc_history.append(train)
        self.val_acc_history.append(val)
        classes = self.task_type == "classification"
        better = val > self.best_val_acc if classes else val < self.best_val_acc
        if better or not self.best_params or np.isnan(self.best_val_acc):
            self.best_val_acc = val
            self.best_params = snapshot(self.model.params)
            self.best_aux_params = snapshot(self.model.aux_params)
            self._waited = 0
        else:
            self._waited += 1
            if self.early_stop is not None and self._waited >= self.early_stop:
                self.stop()
        if self.verbose:
            what = "acc" if classes else "loss"
            print(
                f"(Epoch {self.epoch} / {last}) train {what}: {train:f}, val {what}: {val:f}, "
                f"time: {time.perf_counter() - start:f}."
            )

    def check_accuracy(self, dataiter: Any, num_samples: int | None = None) -> float:
        """How good the model is on data: the share of right answers, in regression the mean loss.

        Samples that only fill a batch do not count, nor do those of other workers.

        Parameters
        ----------
        dataiter : DataIter
            It is reset before.
        num_samples : int, optional
            Look at so many samples only, chosen at random where the iterator can.
        """
        good, samples = self._rate(dataiter, num_samples)
        return good / samples if samples else 0.0

    def _rate(self, dataiter: Any, num_samples: int | None) -> tuple[float, int]:
        with self._placed():
            if self.task_type == "classification":
                return evaluation.right_answers(self.model, dataiter, num_samples)
            return evaluation.summed_loss(self.model, self._loss_of, dataiter, num_samples)

    # ----- checkpoints

    def save_checkpoint(self, path: str | os.PathLike | None = None) -> None:
        """Write the state of the training to a file (`checkpoint` by default), as a whole or not at all.

        Worker 0 writes it; the others do nothing.
        """
        where = self.checkpoint if path is None else path
        if where is None:
            raise checks.fail("save_checkpoint", "path must be given: the solver has no checkpoint=…")
        if self.team.chief:
            checkpoints.save(self, where)

    def load_checkpoint(self, path: str | os.PathLike | None = None) -> None:
        """Go where the training was when the file was written.

        Raises
        ------
        CheckpointError
            If the file is damaged, or of another model; nothing is changed then.
        """
        where = self.checkpoint if path is None else path
        if where is None:
            raise checks.fail("load_checkpoint", "path must be given: the solver has no checkpoint=…")
        checkpoints.load(self, where)
        self._resumed = True

    def progress_state(self) -> dict[str, Any]:
        """What of the solver's own counters a checkpoint keeps."""
        return {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "midway": self._midway,
            "waited": self._waited,
            "best": self.best_val_acc,
            "stopped": self._stopped,
            "resumed": self._resumed,
            "summaries": None if self.summaries is None else self.summaries.run,
        }

    def restore_progress(self, state: dict[str, Any]) -> None:
        """Go on from `progress_state`."""
        self.epoch, self.iteration = state["epoch"], state["iteration"]
        self._midway, self._waited = state["midway"], state["waited"]
        self.best_val_acc, self._stopped = state["best"], state["stopped"]
        self._resumed = state.get("resumed", False)
        if self.summaries is not None:
            self.summaries.run = state.get("summaries")


_anywhere = contextlib.nullcontext()


def _loss(traced: dict[str, Any], solver: Solver, batch: DataBatch, before: dict[str, Any]) -> Any:
    """The loss of a batch, of the parameters `traced` in the places of those `before`."""
    params = solver.model.params
    params.update(traced)
    try:
        loss = solver.loss(batch)
    finally:
        # What the model replaced stays replaced.
        for name, value in traced.items():
            if params.get(name) is value:
                params[name] = before[name]
    # (Of what is still on its way on a device only the geometry is asked for.)
    if (loss.size if hasattr(loss, "size") else np.size(loss)) != 1:
        raise checks.fail("Solver", f"the loss must be one number, not an array of shape {np.shape(loss)}")
    return loss


_gradients = grad_and_loss(_loss)
