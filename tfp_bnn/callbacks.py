"""Keras callbacks: the weight of the KL term, and actions every so many steps."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tfp_bnn import kl_schedules, objective
from tfp_bnn.checks import check_count
from tfp_bnn.layers.variational_layer import variational_layers


class KLWeight(keras.callbacks.Callback):
    """Sets the weight of the KL term in all layers of a model, and logs both halves of the loss.

    Each layer adds `kl_weight * KL[q || p]` to the loss, with `kl_weight = factor * beta / num_examples`. Then the
    loss of a minibatch is an unbiased estimate of the negative ELBO, divided by the number of training examples.
    `history.history` gets `nll` and `kl`, in nats, the latter of the whole network; with `val_` for validation data.
    A warm-up or schedule is of the training alone: `val_loss` has the whole KL term, and so has the model that is left.

    Args:
        num_examples: number N of training examples (not of batches), positive.
        beta: tempering of the KL term; 1 is the Bayesian posterior, less is a colder one.
        warmup_epochs: over how many epochs the weight rises linearly from 0; short for `kl_schedules.linear_warmup`.
        schedule: a function of (epoch, batch, batches an epoch) that returns the factor; see `tfp_bnn.kl_schedules`.
            With `steps_per_execution` above 1 the batches of one execution share the mean of their factors.

    Raises:
        ValueError: if an argument is out of range, if both a warm-up and a schedule are given, if the model has no
            Bayesian layers, or at the end of an epoch whose nll or kl is not a number.

    Example:

    >>> callback = KLWeight(num_examples=60_000, warmup_epochs=3)
    >>> callback = KLWeight(num_examples=60_000, schedule=kl_schedules.blundell)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.4, equations 8 and 9.
    """

    def __init__(
        self,
        num_examples: int,
        beta: float = 1.0,
        warmup_epochs: float = 0,
        schedule: kl_schedules.Schedule | None = None,
    ):
        super().__init__()
        if not num_examples >= 1:
            raise ValueError(f"`num_examples` must be at least 1. Received: num_examples={num_examples}")
        if not 0 <= beta < math.inf:
            raise ValueError(f"`beta` must be a finite number of at least 0. Received: beta={beta}")
        if warmup_epochs and schedule is not None:
            raise ValueError(
                f"Give `warmup_epochs` or `schedule`, not both. Received: warmup_epochs={warmup_epochs}, "
                f"schedule={schedule}"
            )
        self.num_examples = num_examples
        self.beta = beta
        self.schedule = schedule or kl_schedules.linear_warmup(warmup_epochs)
        self._epoch = 0
        self._current: float | None = None

    def set_model(self, model: keras.Model) -> None:
        """Prepares the model before its training step is compiled."""
        super().set_model(model)
        if not variational_layers(model):
            raise ValueError(
                f"The model has no Bayesian layers, so there is no KL term to weigh. Received: model {model.name!r}"
            )
        objective.track_halves(model)
        self._current = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the first weight."""
        self._set(self._factor(0))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Notes the epoch, and that the weight may be another one now: a backup restores that of its last step."""
        self._epoch = epoch
        self._current = None

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Sets the batch's weight."""
        self._set(self._factor(batch))

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the whole weight, so that the losses of validation data can be compared between epochs."""
        self._set(1.0)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the whole weight: a last factor near 0 would leave the model without a KL term unnoticed."""
        self._set(1.0)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Raises ValueError if a half of the loss is not a number: no later epoch could mend that."""
        halves = {name: (logs or {}).get(name, 0.0) for name in ("nll", "kl")}
        if not all(map(math.isfinite, halves.values())):
            raise ValueError(
                "The loss is not a finite number: labels or inputs are out of range, or training diverged (try a "
                f"lower learning rate). Received: nll={halves['nll']} and kl={halves['kl']} in epoch {epoch + 1}"
            )

    def _factor(self, batch: int) -> float:
        num_batches = (self.params or {}).get("steps")
        last = batch + self.model.steps_per_execution
        batches = range(batch, min(last, num_batches) if num_batches else last)
        return float(np.mean([self.schedule(self._epoch, index, num_batches) for index in batches]))

    def _set(self, factor: float) -> None:
        if factor == self._current:
            return
        self._current = factor
        sync_state(self.model)
        for layer in variational_layers(self.model):
            layer.kl_weight = factor * self.beta / self.num_examples


class EverySteps(keras.callbacks.Callback):
    """Calls a function with the number of training steps done, every so many steps: to plot, to save, to stop.

    Steps are those of the optimizer, so that a resumed training goes on counting, if this callback stands after the
    one that restores it.

    Args:
        steps: how often, a positive integer.
        function: takes the number of steps done; it may use the model.

    Raises:
        ValueError: if `steps` is not a positive integer.

    Example:

    >>> callback = EverySteps(400, lambda step: print("step", step))
    """

    def __init__(self, steps: int, function: Callable[[int], Any]):
        super().__init__()
        self.steps = check_count("steps", steps)
        self.function = function
        self._done = 0
        self._last_batch = -1

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Starts at the optimizer's count."""
        self._done = int(self.model.optimizer.iterations)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the count of batches anew."""
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Counts the batches since the last call, and calls the function if a multiple of `steps` was passed."""
        before = self._done
        self._done += batch - self._last_batch
        self._last_batch = batch
        if self._done // self.steps > before // self.steps:
            sync_state(self.model)
            self.function(self._done)


def sync_state(model: keras.Model) -> None:
    """Brings the variables of a model in training up to date: Keras's JAX trainer keeps them elsewhere meanwhile."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
