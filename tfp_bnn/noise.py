"""Seeded standard normals and random signs: a seed gives the same ones on each backend, compiled or not.

Both are made from the bits of `threefry`, in one loop over memory if compiled; so they are always compiled, also
within a function that is not. (The numbers of double precision, which few need, come from the backend's generator.)
"""

import functools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_bnn import _backend
from tfp_bnn.normal_quantile import standard_normals
from tfp_bnn.threefry import random_bits

Tensor = Any
Draw = Callable[[Tensor, Any], Tensor]


def _normals(key: Tensor, size: Any) -> Tensor:
    return standard_normals(random_bits(key, size))


def _signs(key: Tensor, size: Any) -> Tensor:
    last_bit = keras.ops.bitwise_and(random_bits(key, size), keras.ops.convert_to_tensor(1, "uint32"))
    sign = 1.0 - 2.0 * keras.ops.cast(keras.ops.cast(last_bit, "int32"), "float32")
    # A division, so that XLA does not draw the sign of a channel anew for each position (see `standard_normals`). By
    # its square, not of 1 by the sign: Eigen's reciprocal of 1 is 1 - 6e-8.
    return sign / keras.ops.square(sign)


# TFP wants seeds of 32 bits with a sign; those of Keras have 64 on TensorFlow.
_SEEDS = 2**31 - 2

if _backend.name() == "tensorflow":
    import tensorflow as tf

    def _as_seed(seed: Tensor) -> Tensor:
        return tf.cast(tf.math.floormod(seed, tf.cast(_SEEDS, seed.dtype)), tf.int32)

    _SIGNATURE = (tf.TensorSpec([2], tf.uint32), tf.TensorSpec([], tf.int32))

    def _traced_once(draw: Draw) -> Draw:
        """Returns the same function of tensors that runs its Python, which takes seconds, only once."""

        @functools.cache
        def trace() -> tuple[Any, list[str], str]:
            with tf.init_scope():
                graph = tf.function(draw, input_signature=_SIGNATURE, autograph=False).get_concrete_function().graph
            inputs, definition = [tensor.name for tensor in graph.inputs], graph.as_graph_def()
            for node in [node for node in definition.node if node.op == "Placeholder"]:
                definition.node.remove(node)  # XLA has none
            return definition, inputs, graph.outputs[0].name

        def draw_traced(key: Tensor, size: Any) -> Tensor:
            definition, inputs, output = trace()
            arguments = dict(zip(inputs, (key, size), strict=True))
            return tf.graph_util.import_graph_def(definition, arguments, [output])[0]

        return draw_traced

    def _compiled(draw: Draw) -> Draw:
        draw = _traced_once(draw)

        def compiled(xla: bool) -> Draw:
            return tf.function(draw, input_signature=_SIGNATURE, autograph=False, jit_compile=xla)

        # Eager calls meet many sizes once, and XLA compiles each: no gain.
        eager = compiled(xla=False)
        # Each graph has its own: what converts a graph (to ONNX, say) removes the functions that it calls, for all.
        of_graphs: weakref.WeakKeyDictionary[tf.Graph, Draw] = weakref.WeakKeyDictionary()

        def draw_compiled(key: Tensor, size: Any) -> Tensor:
            if tf.executing_eagerly():
                return eager(key, size)
            graph = tf.compat.v1.get_default_graph()
            if graph not in of_graphs:
                of_graphs[graph] = compiled(xla=True)
            return of_graphs[graph](key, size)

        return draw_compiled

    def _double_normals(seed: Tensor, shape: Sequence[Any]) -> Tensor:
        return tf.random.stateless_normal(shape, seed, dtype="float64", alg="philox")

else:
    import jax

    def _as_seed(seed: Tensor) -> Tensor:
        return jax.numpy.asarray(seed, "uint32") % jax.numpy.uint32(_SEEDS)

    def _compiled(draw: Draw) -> Draw:
        return jax.jit(draw, static_argnums=1)

    def _double_normals(seed: Tensor, shape: Sequence[Any]) -> Tensor:
        return jax.random.normal(seed, shape, "float64")


_draw_normals, _draw_signs = _compiled(_normals), _compiled(_signs)


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
        if dtype == "float64":
            return _double_normals(self.seed(), shape)
        return self._draw(_draw_normals, shape, dtype)

    def signs(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        """Returns independent draws from {-1, +1}, equally likely, of the given shape and dtype."""
        return self._draw(_draw_signs, shape, dtype)

    def _draw(self, draw: Draw, shape: Sequence[Any], dtype: str) -> Tensor:
        key = keras.ops.cast(self.seed(), "uint32")
        return keras.ops.cast(keras.ops.reshape(draw(key, math.prod(shape)), shape), dtype)


def counted(seed: Tensor) -> Noise:
    """Returns the noise of one seed: the same draws, in the same order, each time it is made.

    Args:
        seed: integers of shape [2]; the draws take the seeds `[seed[0], seed[1]]`, `[seed[0], seed[1] + 1]` and so on.
    """
    count = iter(range(2**31))
    return Noise(lambda: seed + keras.ops.convert_to_tensor([0, next(count)], dtype=seed.dtype))
