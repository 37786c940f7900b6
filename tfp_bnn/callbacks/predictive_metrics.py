"""Figures of the predictive distribution of validation data, while the model is trained."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np  # noqa: F401  For the example.

from tfp_bnn import _keras
from tfp_bnn._backend import sync_state
from tfp_bnn._checks import check_count
from tfp_bnn.prediction.evaluation import evaluate
from tfp_bnn.prediction.heads import known_heads
from tfp_bnn.prediction.sources import source_of

_PREFIX = "predictive_"


class PredictiveMetrics(keras.callbacks.Callback):
    """Logs, after each epoch, what `tfp_bnn.predict` gives on validation data, not what one noisy draw gives.

    `history.history` gets `val_predictive_nll`, in nats, and `val_predictive_accuracy`, or `val_predictive_rmse` where
    y is not a class; of several outputs, `val_predictive_price_rmse` and the like. Keras's own `val_nll` and
    `val_accuracy` are of one draw of the weights a batch, and look far worse: choose models, and stop early, by these.
    Callbacks that read them, such as `EarlyStopping`, stand behind this one.

    An epoch costs `num_draws` passes over the validation data more.

    Args:
        x: validation inputs, as `tfp_bnn.predict` takes them, such as a `tf.data.Dataset` of (inputs, targets). It is
            read after each epoch, so it must not be used up.
        y: their labels or targets; None if `x` has them.
        num_draws: how many weight draws, at least 1.
        batch_size: how many inputs are computed at once.
        seed: integer; with the same draws after each epoch, these differ by what was learned and not by luck.

    Raises:
        ValueError: if a count is not a positive integer or `x` can be read only once; before the training, if the
            model was not compiled with a likelihood or if there is not a target for each input.

    Example:

    >>> x, y = np.ones((32, 4)), np.zeros(32, int)
    >>> callbacks = [
    ...     PredictiveMetrics(x, y),
    ...     keras.callbacks.EarlyStopping("val_predictive_nll", patience=5, restore_best_weights=True),
    ... ]
    """

    def __init__(self, x: Any, y: Any = None, num_draws: int = 20, batch_size: int = 1000, seed: int = 0):
        super().__init__()
        if hasattr(x, "__next__"):
            raise ValueError(
                "`x` is read after each epoch, so it must be arrays or a data set that can be read again. "
                f"Received: {type(x).__name__}"
            )
        self.x, self.y = x, y
        self.num_draws = check_count("num_draws", num_draws)
        self.batch_size = check_count("batch_size", batch_size)
        self.seed = seed

    def set_model(self, model: keras.Model) -> None:
        """Tells Keras which of the figures are the better the less they are."""
        super().set_model(model)
        found = [metric for metric in model.metrics if isinstance(metric, Directions)]
        self._directions = found[0] if found else Directions()
        if not found:
            _keras.add_metric(model, self._directions)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Raises ValueError if it could not predict, before any work is lost."""
        known_heads(self.model, None)
        source = source_of(self.model, self.x, self.y, batch_size=self.batch_size)
        if next(source.batches).targets is None:
            raise ValueError("Figures need targets: PredictiveMetrics(x, y). Received: y=None")

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float] | None = None) -> None:
        """Predicts, and logs the figures."""
        sync_state(self.model)
        figures = evaluate(self.model, self.x, self.y, self.num_draws, self.batch_size, seed=self.seed, verbose=False)
        if logs is not None:
            logs.update({f"val_{_PREFIX}{name}": value for name, value in figures.items()})
            self._directions.add(figures)


class Directions(_keras.MetricsList):
    """Says of the logged figures whether more is better, where `EarlyStopping` and its like ask; holds none itself."""

    def __init__(self) -> None:
        keras.metrics.Metric.__init__(self, name="predictive_directions")
        self._names = ["nll", "rmse", "accuracy"]

    def add(self, names: Iterable[str]) -> None:
        """Takes the names of figures, such as `price_rmse`."""
        self._names = list(dict.fromkeys([*self._names, *names]))

    @property
    def metrics(self) -> Sequence[Any]:
        """The figures' names and directions."""
        return [
            SimpleNamespace(name=_PREFIX + name, _direction="up" if name.endswith("accuracy") else "down")
            for name in self._names
        ]

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""

    def reset_state(self) -> None:
        """Does nothing."""

    def result(self) -> dict[str, Any]:
        """Returns nothing to log."""
        return {}
