"""The weight of the KL term, set for all layers of a model in one place."""

import math
import numbers
import warnings
from collections.abc import Mapping

import keras
import numpy as np

from tfp_bnn import kl_schedules
from tfp_bnn._backend import sync_state
from tfp_bnn._checks import check_count
from tfp_bnn.callbacks import training_data, weight_decay
from tfp_bnn.callbacks.balance import Balance
from tfp_bnn.layers.base import variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.objective import loss_halves, outputs

_TOLERANCE = 0.15
"""By what share the number of examples may differ from that of the data: partial batches are dropped at times."""


class KLWeight(keras.callbacks.Callback):
    """Sets the weight of the KL term in all layers of a model, and logs both halves of the loss.

    Each layer adds `kl_weight * KL[q || p]` to the loss, with `kl_weight = factor * beta / num_examples`. Then the
    loss of a minibatch is an unbiased estimate of the negative ELBO, divided by the number of training examples. Where
    outputs have positions (time steps, pixels), over which Keras takes the mean of the data term too, both are divided
    by the number of observations: examples times positions, less what a mask hides.

    `history.history` gets `nll` and `kl`, in nats, the latter of the whole network, and `kl_share`, between 0 and 1,
    what part of the loss the KL term is; with `val_` for validation data. All are of one noisy draw of the weights a
    batch: see `PredictiveMetrics` for what `tfp_bnn.predict` will give.

    Weight decay, such as that of `AdamW`, acts on means alone. Standard deviations and learned priors are kept from it:
    a standard deviation is the softplus of its variable, and decay would move it from 0.05 towards 0.69. A training
    loop of your own calls `optimizer.exclude_from_weight_decay(var_names=["_rho"])`.

    A warm-up or schedule is of the training alone: `val_loss` has the whole KL term, and so has the model that is left.

    Args:
        num_examples: number N of training examples (not of batches), positive. None: as many as there are, where Keras
            knows it: for arrays, and for `tf.data`, `PyDataset`s and `DataLoader`s of known length.
        beta: tempering of the KL term; 1 is the Bayesian posterior, less is a colder one.
        warmup_epochs: over how many epochs the weight rises linearly from 0; short for `kl_schedules.linear_warmup`.
        warmup_steps: instead, over how many optimizer steps. The optimizer counts them: a training that is resumed goes
            on where it was, and the data may be a stream whose length nobody knows.
        schedule: a function of (epoch, batch, batches an epoch) that returns the factor; see `tfp_bnn.kl_schedules`.
            With `steps_per_execution` above 1 the batches of one execution share the mean of their factors.

    Raises:
        ValueError: if an argument is out of range, if both a warm-up and a schedule are given, if the model has no
            Bayesian layers, if the number of examples is needed and not known, or at the end of an epoch whose loss,
            nll or kl is not a number.

    Warns:
        UserWarning: if `num_examples` is far from that of the data; if targets are far from the scale of the
            likelihood; if the KL term drowns the data.

    Example:

    >>> callback = KLWeight(num_examples=60_000, warmup_epochs=3)
    >>> callback = KLWeight(num_examples=60_000, schedule=kl_schedules.blundell)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.4, equations 8 and 9.
    """

    async_safe = True
    """Keras may call `on_train_batch_end` in a thread: it need not wait for each step's logs, on an accelerator."""

    def __init__(
        self,
        num_examples: int | None = None,
        beta: float = 1.0,
        warmup_epochs: float = 0,
        schedule: kl_schedules.Schedule | None = None,
        *,
        warmup_steps: int | None = None,
    ):
        super().__init__()
        if num_examples is not None and not (isinstance(num_examples, numbers.Real) and 1 <= num_examples < math.inf):
            raise ValueError(f"`num_examples` must be at least 1. Received: num_examples={num_examples!r}")
        if not (isinstance(beta, numbers.Real) and 0 <= beta < math.inf):
            raise ValueError(f"`beta` must be a finite number of at least 0. Received: beta={beta!r}")
        if schedule is not None and not callable(schedule):
            raise ValueError(
                "`schedule` must be one of `tfp_bnn.kl_schedules`, or a function of (epoch, batch, batches an epoch). "
                f"Received: schedule={schedule!r}"
            )
        if bool(warmup_epochs) + (warmup_steps is not None) + (schedule is not None) > 1:
            raise ValueError(
                "Give one of `warmup_epochs`, `warmup_steps` and `schedule`. "
                f"Received: warmup_epochs={warmup_epochs}, warmup_steps={warmup_steps}, schedule={schedule}"
            )
        self.num_examples = num_examples
        self.beta = beta
        self.schedule = schedule or kl_schedules.linear_warmup(warmup_epochs)
        self.warmup_steps = None if warmup_steps is None else check_count("warmup_steps", warmup_steps)
        self._reset()

    def _reset(self) -> None:
        self._data = training_data.TrainingData()
        self._num_batches: int | None = None
        self._is_training = False
        self._steps_before = 0
        self._begin_epoch(0)
        self._current: float | None = None
        self._knows_epoch = False
        self._balance = Balance()

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._last_batch = -1
        self._loss = 0.0
        self._has_learned = False

    # The weight.

    def set_model(self, model: keras.Model) -> None:
        """Prepares the model before its training step is compiled."""
        super().set_model(model)
        if not variational_layers(model):
            raise ValueError(
                f"The model has no Bayesian layers, so there is no KL term to weigh. Received: model {model.name!r}"
            )
        outputs.check_heads(model)
        _warn_of_separated_priors(model)
        loss_halves.track_halves(model)
        weight_decay.keep_to_means(model)
        self._reset()
        self._data = training_data.of_fit(model)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the first weight."""
        self._is_training = True
        self._num_batches = (self.params or {}).get("steps")
        if self._data.is_exact:
            self._compare(self._data.num_examples)
        self._count_steps()
        self._set(self._factor(0))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Notes the epoch, and how many steps were done before it."""
        self._begin_epoch(epoch)
        self._count_steps()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Sets the batch's weight."""
        self._set(self._factor(batch))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Counts the batches, not all data say how many they are, and keeps a loss that is not a number.

        Keras forgets the loss of a training step that does not track it.
        """
        self._last_batch = max(self._last_batch, batch)
        if math.isfinite(self._loss):
            self._loss = (logs or {}).get("loss", 0.0)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the whole weight, so that the losses of validation data can be compared between epochs."""
        self._learn_from_epoch()
        self._set(1.0)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Raises ValueError if the loss is not a number, no later epoch could mend that; warns if it is one-sided."""
        self._learn_from_epoch()
        self._num_batches = self._num_batches or self._last_batch + 1
        logs = logs or {}
        parts = {"loss": self._loss} | {name: logs[name] for name in ("nll", "kl") if name in logs}
        if not all(map(math.isfinite, parts.values())):
            raise ValueError(
                "The loss is not a finite number: labels or inputs are out of range, or training diverged (try a "
                f"lower learning rate). Received: {_in_words(parts)} in epoch {epoch + 1}"
            )

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the whole weight: a last factor near 0 would leave the model without a KL term unnoticed."""
        self._set(1.0)
        self._is_training = False

    def _factor(self, batch: int) -> float:
        last = batch + self.model.steps_per_execution
        last = min(last, self._num_batches) if self._num_batches else last
        # On JAX, Keras begins a batch behind the last one of data whose length it does not know.
        batches = range(batch, max(last, batch + 1))
        return float(np.mean([self._factor_of(each) for each in batches]))

    def _factor_of(self, batch: int) -> float:
        if self.warmup_steps is None:
            return self.schedule(self._epoch, batch, self._num_batches)
        accumulated = getattr(self.model.optimizer, "gradient_accumulation_steps", None) or 1
        return min(1.0, (self._steps_before + batch // accumulated + 1) / self.warmup_steps)

    def _count_steps(self) -> None:
        if self.warmup_steps is not None:
            # JAX keeps the optimizer's count to itself while `fit` runs.
            sync_state(self.model)
            self._steps_before = int(self.model.optimizer.iterations)

    def _set(self, factor: float) -> None:
        weight = factor * self.beta / self._known_num_examples()
        if weight == self._current:
            return
        self._current = weight
        sync_state(self.model)
        for layer in variational_layers(self.model):
            layer.kl_weight = weight

    # The data.

    def _known_num_examples(self) -> int:
        num_examples = self.num_examples or self._data.num_examples
        if not num_examples:
            raise ValueError(
                "Keras does not know how many training examples these data have, and the KL term is divided by that "
                "number. Write KLWeight(num_examples=...). Received: num_examples=None"
            )
        return num_examples

    def _learn_from_epoch(self) -> None:
        """Takes from the epoch that ends what was not known before it, before validation makes Keras forget it."""
        if not self._is_training or self._has_learned:
            return
        self._has_learned = True
        halves = loss_halves.track_halves(self.model)
        if halves not in self.model.metrics:
            return
        sync_state(self.model)
        if not self._knows_epoch:
            self._knows_epoch = True
            self._learn_examples(halves.num_examples())
            if isinstance(self.model.loss, Likelihood):
                self.model.loss.check_scale(halves.stddev_of_targets())
        self._balance.see(halves.mean("nll"), halves.mean("whole_kl_term") * self.beta / self._known_num_examples())

    def _learn_examples(self, seen: int) -> None:
        if self._data.is_cut:
            # An epoch of `steps_per_epoch` may well be less than the data, but hardly more.
            if self.num_examples and seen > self.num_examples:
                self._compare(seen)
        elif not self._data.is_exact and not self.model.stop_training:
            self._data = self._data._replace(num_examples=seen, is_exact=True)
            self._compare(seen)

    def _compare(self, num_examples: int) -> None:
        given = self.num_examples
        if given and not (1 - _TOLERANCE) * given <= num_examples <= given / (1 - _TOLERANCE):
            warnings.warn(
                f"KLWeight(num_examples={given}) does not fit the data, {num_examples} examples, so the KL term "
                f"counts {num_examples / given:.3g} times as much as it should; write KLWeight({num_examples}), or if "
                'the data are repeated on purpose, warnings.filterwarnings("ignore", message="KLWeight").',
                stacklevel=2,
            )


def _warn_of_separated_priors(model: keras.Model) -> None:
    """Warns if layers have learned priors of their own that were one in the model that this is a copy of."""
    copies: dict[str, set[int]] = {}
    for layer in variational_layers(model):
        for _, prior in layer.random_weights.values():
            if prior.copied_from is not None and prior.trainable_variables:
                copies.setdefault(prior.copied_from, set()).add(id(prior))
    most = max(map(len, copies.values()), default=1)
    if most > 1:
        warnings.warn(
            f"Layers that shared a learned prior when they were copied have {most} priors now, each trained by itself. "
            "Copy models with tfp_bnn.clone_model or .keras files, or within `tfp_bnn.priors.kept_shared()`.",
            stacklevel=2,
        )


def _in_words(parts: Mapping[str, float]) -> str:
    return " and ".join(f"{name}={value}" for name, value in parts.items())
