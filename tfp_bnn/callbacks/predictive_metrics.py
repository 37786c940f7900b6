"""Figures of the predictive distribution of validation data, while the model is trained."""

from collections.abc import Mapping, MutableMapping, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from tfp_bnn import _keras
from tfp_bnn._backend import sync_state
from tfp_bnn._checks import check_count
from tfp_bnn.prediction import draws, inputs
from tfp_bnn.prediction.evaluation import evaluate

_PREFIX = "predictive_"


class PredictiveMetrics(keras.callbacks.Callback):
    """Logs, after each epoch, what `tfp_bnn.predict` gives on validation data, not what one noisy draw gives.

    `history.history` gets `val_predictive_nll`, in nats, and `val_predictive_accuracy`, or `val_predictive_rmse` where
    y is not a class. Keras's own `val_nll` and `val_accuracy` are of one draw of the weights a batch, and look far
    worse: choose models, and stop early, by these. Callbacks that read them, such as `EarlyStopping`, stand behind this
    one.

    An epoch costs `num_draws` passes over the validation data more.

    Args:
        x: validation inputs, as `tfp_bnn.predict` takes them.
        y: their labels or targets.
        num_draws: how many weight draws, at least 1.
        batch_size: how many inputs are computed at once.
        seed: integer; with the same draws after each epoch, these differ by what was learned and not by luck.

    Raises:
        ValueError: if a count is not a positive integer; before the training, if the model was not compiled with a
            likelihood or if there is not a target for each input.

    Example:

    >>> x, y = np.ones((32, 4)), np.zeros(32, int)
    >>> callbacks = [
    ...     PredictiveMetrics(x, y),
    ...     keras.callbacks.EarlyStopping("val_predictive_nll", patience=5, restore_best_weights=True),
    ... ]
    """

    def __init__(self, x: Any, y: np.ndarray, num_draws: int = 20, batch_size: int = 1000, seed: int = 0):
        super().__init__()
        self.x, self.y = x, y
        self.num_draws = check_count("num_draws", num_draws)
        self.batch_size = check_count("batch_size", batch_size)
        self.seed = seed

    def set_model(self, model: keras.Model) -> None:
        """Tells Keras which of the figures are the better the less they are."""
        super().set_model(model)
        if not any(isinstance(metric, Directions) for metric in model.metrics):
            _keras.add_metric(model, Directions())

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Raises ValueError if it could not predict, before any work is lost."""
        draws.likelihood_of(self.model, None)
        num_inputs = len(keras.tree.flatten(inputs.arrays_for(self.model, self.x))[0])
        if np.ndim(self.y) == 0 or len(self.y) != num_inputs:
            raise ValueError(
                f"`y` must have one target for each of {num_inputs} inputs. Received: shape {np.shape(self.y)}"
            )

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, float] | None = None) -> None:
        """Predicts, and logs the figures."""
        sync_state(self.model)
        figures = evaluate(self.model, self.x, self.y, self.num_draws, self.batch_size, seed=self.seed, verbose=False)
        if logs is not None:
            logs.update({f"val_{_PREFIX}{name}": value for name, value in figures.items()})


class Directions(_keras.MetricsList):
    """Says of the logged figures whether more is better, where `EarlyStopping` and its like ask; holds none itself."""

    def __init__(self) -> None:
        keras.metrics.Metric.__init__(self, name="predictive_directions")

    @property
    def metrics(self) -> Sequence[Any]:
        """The figures' names and directions."""
        directions = {"nll": "down", "rmse": "down", "accuracy": "up"}
        return [SimpleNamespace(name=_PREFIX + name, _direction=direction) for name, direction in directions.items()]

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""

    def reset_state(self) -> None:
        """Does nothing."""

    def result(self) -> dict[str, Any]:
        """Returns nothing to log."""
        return {}
