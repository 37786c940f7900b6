"""The mean and standard deviation of targets, behind the outputs of a network that knows them standardized."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn._checks import check_count

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.layers")
class UnitsOfTargets(keras.layers.Layer):
    """Puts the targets' means and standard deviations behind the outputs: what `likelihoods.InUnits` takes.

    They are 0 and 1 until `adapt` has seen targets, and are saved with the weights.

    Args:
        num_targets: how many targets.

    Example:

    >>> layer = UnitsOfTargets()
    >>> layer.adapt(np.array([160.0, 240.0]))
    >>> keras.ops.convert_to_numpy(layer(np.array([[0.5, 0.0]]))).tolist()
    [[0.5, 0.0, 200.0, 40.0]]
    """

    def __init__(self, num_targets: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_targets = check_count("num_targets", num_targets)
        shape = (self.num_targets,)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.stddev = self.add_weight(name="stddev", shape=shape, initializer="ones", trainable=False)
        self.built = True

    def adapt(self, y: Any) -> None:
        """Takes the mean and standard deviation of targets, [n] or [n, d]; a constant target keeps the scale 1.

        Raises:
            ValueError: if their shape is another one, or one is not finite.
        """
        y = np.asarray(y, "float64")
        rows = y[:, np.newaxis] if y.ndim == 1 else y
        if rows.ndim != 2 or rows.shape[1] != self.num_targets or not len(rows):
            raise ValueError(f"Targets must be [n, {self.num_targets}]. Received: targets of shape {y.shape}")
        if not np.isfinite(rows).all():
            raise ValueError(f"Targets must be finite. Received: {rows[~np.isfinite(rows)][0]}")
        stddev = rows.std(axis=0)
        self.mean.assign(rows.mean(axis=0))
        self.stddev.assign(np.where(stddev > 0, stddev, 1.0))

    def call(self, outputs: Tensor) -> Tensor:
        """Returns the outputs, [n, outputs + 2 targets]."""
        ops = keras.ops
        units = ops.concatenate([self.mean, self.stddev])
        rows = ops.broadcast_to(ops.cast(units, outputs.dtype), (ops.shape(outputs)[0], 2 * self.num_targets))
        return ops.concatenate([outputs, rows], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the outputs."""
        return (*input_shape[:-1], input_shape[-1] + 2 * self.num_targets)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "num_targets": self.num_targets}
