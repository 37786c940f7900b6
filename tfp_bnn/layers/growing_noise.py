"""Noise that is first the same for all inputs, and may then vary from one to the other."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn.layers")
class GrowingNoise(keras.layers.Layer):
    """Makes `[loc, a + share * r]` of outputs `[loc, r]`, of which a likelihood makes location and scale.

    The number a of each target is trained. At a share of 0 the noise is the same for all inputs, at 1 it is the
    network's. A network that may vary it from the start explains as noise what it could have learned, and stays there.
    `tfp_bnn.callbacks.NoiseWarmup` lets the share grow while the network trains. It is 1 at the start.

    Example:

    >>> layer = GrowingNoise()
    >>> tuple(layer(keras.ops.array([[2.0, 0.5]])).shape)
    (1, 2)

    Source: Seitzer et al. 2022, "On the Pitfalls of Heteroscedastic Uncertainty Estimation with Probabilistic Neural
    Networks", for what it avoids.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes a, trained, and the share, which is set from outside."""
        targets, odd = divmod(input_shape[-1], 2)
        if odd:
            raise ValueError(
                f"The outputs must be a location and a scale for each target. Received: {input_shape[-1]} outputs"
            )
        self.constant = self.add_weight(name="constant", shape=(targets,), initializer="zeros")
        self.share = self.add_weight(name="share", shape=(), initializer="ones", trainable=False)

    def call(self, outputs: Tensor) -> Tensor:
        """Returns the outputs, [n, 2 targets]."""
        loc, varying = keras.ops.split(outputs, 2, axis=-1)
        return keras.ops.concatenate([loc, self.constant + self.share * varying], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the outputs, that of the inputs."""
        return tuple(input_shape)
