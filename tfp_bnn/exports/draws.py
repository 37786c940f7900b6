"""The drawn weights of an exported network: stored, or drawn when it runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn._numerics.noise import Noise, counted
from tfp_bnn.exports import bits
from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.posteriors import WeightPosterior
from tfp_bnn.prediction.draws import seeds_of_draws

Tensor = Any
Weights = Mapping[VariationalLayer, Mapping[str, Tensor]]
Posteriors = Mapping[VariationalLayer, Mapping[str, WeightPosterior]]

_SEEDS = 2**31 - 1


def stored_weights(model: keras.Model, num_draws: int, seed: int | None) -> list[Weights]:
    """Returns the weights of each draw, arrays: those that `predict` draws with this seed."""

    def draw(seed: np.ndarray) -> Weights:
        noise = counted(keras.ops.convert_to_tensor(seed))
        return {layer: _arrays(layer.sample_weights(noise)) for layer in variational_layers(model)}

    return [draw(each) for each in seeds_of_draws(model, None, num_draws, seed)]


def _arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: keras.ops.convert_to_numpy(tensor) for name, tensor in weights.items()}


class FreshWeights:
    """Weights that are drawn from a seed when the network runs: those that `predict` draws with it.

    All standard normals of a draw come from one pass of the generator: each knows the tensor of weights that it is for,
    hence its key, and its place in it.

    Args:
        model: the model. Its posteriors are read when this is made.
        portable: whether the file runs elsewhere than in TensorFlow, whose XLA compiles the noise to one loop.

    Raises:
        ValueError: if a posterior is made of other noise than standard normals in single precision.
    """

    def __init__(self, model: keras.Model, portable: bool = True):
        self._model, self._portable = model, portable
        sizes: list[int] = []
        _weights(self._posteriors(), _Recorded(sizes))
        self._num_tensors = sum(len(layer.random_weights) for layer in variational_layers(model))
        self._count = np.concatenate([np.arange(size) for size in (0, *sizes)]).astype("int32")
        self._tensor = np.repeat(np.arange(len(sizes)), sizes).astype("int32")

    def drawn(self, seed: Tensor) -> Callable[[Tensor], Weights]:
        """Returns the function from the number of a draw, int32, to its weights.

        Args:
            seed: an int32 scalar.
        """
        ops = keras.ops
        # As `seeds_of_draws` and then the noise take it.
        first = ops.mod(ops.mod(seed, _SEEDS), _SEEDS - 1)
        # Read once, before the loop over draws.
        posteriors = self._posteriors()
        if not self._portable:
            return lambda draw: self._by_tensorflow(posteriors, ops.stack([first, draw * max(self._num_tensors, 1)]))
        count, tensor = ops.convert_to_tensor(self._count), ops.convert_to_tensor(self._tensor)

        def weights(draw: Tensor) -> Weights:
            second = tensor + draw * max(self._num_tensors, 1)
            normals = bits.standard_normals(bits.random_bits(first, second, count))
            return _weights(posteriors, _Sliced(normals))

        return weights

    def _by_tensorflow(self, posteriors: Posteriors, seed: Tensor) -> Weights:
        return _weights(posteriors, counted(seed))

    def _posteriors(self) -> Posteriors:
        return {layer: layer._posteriors() for layer in variational_layers(self._model)}


def _weights(posteriors: Posteriors, noise: Noise) -> Weights:
    return {
        layer: {name: posterior.sample(noise).value for name, posterior in of_layer.items()}
        for layer, of_layer in posteriors.items()
    }


class _Recorded(Noise):
    """Noise that is 0, and notes how many numbers are asked for each time."""

    def __init__(self, sizes: list[int]):
        super().__init__(self.seed)
        self._sizes = sizes

    def seed(self) -> Tensor:
        raise _not_normal("seeds of another generator")

    def signs(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        raise _not_normal("random signs")

    def normal(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        if dtype == "float64":
            raise _not_normal("normals in double precision")
        self._sizes.append(math.prod(shape))
        return keras.ops.zeros(shape, dtype)


def _not_normal(noise: str) -> ValueError:
    return ValueError(
        'With draws="fresh" all posteriors must be made of standard normals in single precision; write draws="fixed". '
        f"Received: a posterior that asks for {noise}"
    )


class _Sliced(Noise):
    """Noise whose calls get the parts of one vector, one after the other."""

    def __init__(self, normals: Tensor):
        super().__init__(lambda: None)
        self._normals, self._start = normals, 0

    def normal(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        start, self._start = self._start, self._start + math.prod(shape)
        return keras.ops.cast(keras.ops.reshape(self._normals[start : self._start], shape), dtype)
