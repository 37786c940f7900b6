"""Seeded standard normals and random signs, fast on each backend.

On TensorFlow the generator is Philox by name: the default, "auto_select", picks one under XLA on a CPU that is some
forty times slower. Numbers repeat for a seed within one compilation mode; TensorFlow's Philox gives others with XLA
than without.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_bnn import _backend

Tensor = Any

if _backend.name() == "tensorflow":
    import tensorflow as tf

    # Keras keeps int64 seeds there, XLA wants int32 ones.
    _LARGEST_SEED = tf.int32.max - 1

    def _as_seed(seed: Tensor) -> Tensor:
        return tf.cast(tf.math.floormod(seed, tf.cast(_LARGEST_SEED, seed.dtype)), tf.int32)

    def _normal(shape: Sequence[Any], seed: Tensor, dtype: str) -> Tensor:
        return tf.random.stateless_normal(shape, _as_seed(seed), dtype=dtype, alg="philox")

    def _random_bits(shape: Sequence[Any], seed: Tensor) -> Tensor:
        return tf.random.stateless_uniform(
            shape, _as_seed(seed), minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )

else:
    import jax

    def _as_seed(seed: Tensor) -> Tensor:
        return jax.numpy.asarray(seed, "uint32")

    def _normal(shape: Sequence[Any], seed: Tensor, dtype: str) -> Tensor:
        return jax.random.normal(_as_seed(seed), shape, dtype)

    def _random_bits(shape: Sequence[Any], seed: Tensor) -> Tensor:
        return jax.random.bits(_as_seed(seed), shape, "uint32").view("int32")


class Noise:
    """A source of independent random numbers: every call takes the next seed.

    Args:
        next_seed: called once for each draw; returns an integer tensor of shape [2], another one each time.

    Example:

    >>> generator = keras.random.SeedGenerator(1)
    >>> noise = Noise(generator.next)
    >>> tuple(noise.normal((2, 3)).shape)
    (2, 3)
    """

    def __init__(self, next_seed: Callable[[], Tensor]):
        self._next_seed = next_seed

    def seed(self) -> Tensor:
        """Returns the next seed in the form that TFP's samplers take."""
        return _as_seed(self._next_seed())

    def normal(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        """Returns independent draws from N(0, 1), of the given shape (a dynamic batch size is allowed) and dtype."""
        # Generators that are asked for 16 bits are too coarse: on JAX a bfloat16 normal has 128 values and mean -0.01.
        wide = "float64" if dtype == "float64" else "float32"
        return keras.ops.cast(_normal(shape, self._next_seed(), wide), dtype)

    def signs(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        """Returns independent draws from {-1, +1}, equally likely, of the given shape and dtype."""
        bits = _random_bits(shape, self._next_seed())
        return keras.ops.cast(1 - 2 * keras.ops.bitwise_and(bits, 1), dtype)


def counted(seed: Tensor) -> Noise:
    """Returns the noise of one seed: the same draws, in the same order, each time it is made.

    Args:
        seed: integers of shape [2]; the draws take the seeds `[seed[0], seed[1]]`, `[seed[0], seed[1] + 1]` and so on.
    """
    count = iter(range(2**31))
    return Noise(lambda: seed + keras.ops.convert_to_tensor([0, next(count)], dtype=seed.dtype))
