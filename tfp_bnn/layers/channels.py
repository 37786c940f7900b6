"""What all layers over space share: rank, channels, and the shapes that they take."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from tfp_bnn.layers.linear import LinearVariationalLayer

Tensor = Any


class SpatialLayer(LinearVariationalLayer):
    """Abstract base of layers over inputs of `rank` axes of space and one of channels; the rank is data."""

    rank: ClassVar[int]

    @property
    def channel_axis(self) -> int:
        """The axis of inputs and outputs along which channels lie."""
        return -1 if self.data_format == "channels_last" else 1

    def channels_of(self, input_shape: Sequence[int | None], groups: int = 1) -> int:
        """Returns the number of input channels, and fixes it for later inputs.

        Raises:
            ValueError: unless inputs have rank + 2 axes and a known number of channels that `groups` divides.
        """
        if len(input_shape) != self.rank + 2:
            raise ValueError(
                f"{type(self).__name__} takes inputs with {self.rank + 2} axes (batch, {self.rank} of space and "
                f"channels). Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[self.channel_axis]
        if not channels or channels % groups:
            raise ValueError(
                "The number of input channels must be known, at least 1 and divisible by `groups`. "
                f"Received: groups={groups}, input_shape={tuple(input_shape)}"
            )
        self.compute_output_shape(input_shape)  # raises if nothing is left of an axis
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2, axes={self.channel_axis: channels})
        return channels


def of_rank(name: str, rank: int) -> type[keras.layers.Layer]:
    """Returns the Keras layer of a family and rank.

    Example:

    >>> of_rank("Conv{}DTranspose", 2).__name__
    'Conv2DTranspose'
    """
    return getattr(keras.layers, name.format(rank))
