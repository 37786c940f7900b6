"""Lets the noise that a network predicts vary little by little."""

from collections.abc import Mapping

import keras

from tfp_bnn import _keras
from tfp_bnn._backend import sync_state
from tfp_bnn.layers.growing_noise import GrowingNoise


class NoiseWarmup(keras.callbacks.Callback):
    """Raises the share of varying noise in `layers.GrowingNoise` from 0 to 1 over the first epochs, linearly.

    When training ends it is 1, however many epochs there were.

    Args:
        epochs: over how many epochs, positive; parts count.

    Raises:
        ValueError: if `epochs` is not positive, or the model has no such layer.

    Example:

    >>> callback = NoiseWarmup(epochs=30)
    """

    def __init__(self, epochs: float):
        super().__init__()
        if not epochs > 0:
            raise ValueError(f"`epochs` must be positive. Received: epochs={epochs}")
        self.epochs = epochs

    def set_model(self, model: keras.Model) -> None:
        """Finds the layers."""
        super().set_model(model)
        self._layers = [layer for layer in _keras.flatten_layers(model) if isinstance(layer, GrowingNoise)]
        if not self._layers:
            raise ValueError(f"The model has no tfp_bnn.layers.GrowingNoise. Received: model {model.name!r}")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Sets the share of the epoch: that of its middle."""
        self._set(min(1.0, (epoch + 0.5) / self.epochs))

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the share to 1."""
        self._set(1.0)

    def _set(self, share: float) -> None:
        sync_state(self.model)
        for layer in self._layers:
            layer.share.assign(share)
