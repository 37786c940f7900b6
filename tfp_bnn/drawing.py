"""Whole networks drawn from a Bayesian model, and their outputs: what all Monte Carlo predictions are made of."""

import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from tfp_bnn import _backend, held_weights
from tfp_bnn.checks import check_type
from tfp_bnn.layers.variational_layer import variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.noise import counted

Tensor = Any

BAR_DELAY_SECONDS = 2.0
"""What takes less long shows no progress bar."""


def likelihood_of(model: keras.Model, likelihood: Likelihood | None) -> Likelihood:
    """Returns the likelihood, or that which a model was compiled with; raises ValueError if there is none."""
    if likelihood is not None:
        return check_type("likelihood", likelihood, Likelihood)
    loss = getattr(model, "loss", None)
    if not isinstance(loss, Likelihood):
        raise ValueError(
            "A prediction needs a likelihood: compile the model with one, such as "
            "model.compile(..., loss=tfp_bnn.likelihoods.Categorical()), or pass predict(..., likelihood=...). "
            f"Received: a model with loss={loss!r}"
        )
    return loss


def batches_of(x: Any, batch_size: int) -> Iterator[Any]:
    """Yields the inputs, `batch_size` at a time; raises ValueError if there are none, or not as many in each array."""
    arrays = keras.tree.map_structure(np.asarray, x)
    sizes = {array.shape[0] if array.ndim else 0 for array in keras.tree.flatten(arrays)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"`x` must hold at least one input, and as many in each array. Received: sizes {sizes}")
    (size,) = sizes
    for start in range(0, size, batch_size):
        yield keras.tree.map_structure(lambda array, start=start: array[start : start + batch_size], arrays)


def seeds_of_draws(model: keras.Model, inputs: Any, num_draws: int, seed: int | None) -> np.ndarray:
    """Returns one seed a draw, [draws, 2], with room between them for one for each tensor of weights.

    Args:
        model: the model, for the number of its tensors of weights.
        inputs: some inputs: a model that has not seen any has no weights yet.
        num_draws: how many.
        seed: integer that makes the draws repeatable; None draws one.
    """
    if not model.built:
        model(inputs)
    seed = random.getrandbits(31) if seed is None else seed
    tensors = sum(len(layer.random_weights) for layer in variational_layers(model))
    first = np.full(num_draws, seed % (2**31 - 1))
    return np.stack([first, np.arange(num_draws) * max(tensors, 1)], axis=1).astype("int32")


def _outputs_of_draw(model: keras.Model, inputs: Tensor, seed: Tensor) -> Tensor:
    noise = counted(seed)
    weights = {layer: layer.sample_weights(noise) for layer in variational_layers(model)}
    with held_weights.hold(weights):
        outputs = model(inputs, training=False)
    if not keras.ops.is_tensor(outputs):
        raise ValueError(f"`predict` takes models of one output. Received: {len(outputs)} outputs of {model.name!r}")
    return outputs


# Compiling takes as long as many a prediction, and training draws plots again and again.
_COMPILED: weakref.WeakKeyDictionary[keras.Model, Callable] = weakref.WeakKeyDictionary()


def draw_outputs(model: keras.Model, inputs: Any, seeds: np.ndarray) -> np.ndarray:
    """Returns the outputs, float32 [draws, n, outputs], of the networks that are drawn with the given seeds.

    All draws run inside one compiled function, in which each network is drawn once.
    """
    if model not in _COMPILED:
        # A strong reference to the model, in the cache's value, would keep the model alive for ever.
        compile_draws = _compile_tensorflow if _backend.name() == "tensorflow" else _compile_jax
        _COMPILED[model] = compile_draws(weakref.ref(model))
    return keras.ops.convert_to_numpy(_COMPILED[model](inputs, seeds)).astype("float32", copy=False)


def _compile_tensorflow(model: Callable[[], keras.Model]) -> Callable[[Any, np.ndarray], Tensor]:
    import tensorflow as tf

    @tf.function(jit_compile=model().jit_compile, reduce_retracing=True)
    @tf.autograph.experimental.do_not_convert
    def draw_outputs(inputs: Any, seeds: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda seed: tf.cast(_outputs_of_draw(model(), inputs, seed), tf.float32),
            seeds,
            parallel_iterations=1,
            fn_output_signature=tf.float32,
        )

    def on_tensors(inputs: Any, seeds: np.ndarray) -> tf.Tensor:
        return draw_outputs(keras.tree.map_structure(tf.convert_to_tensor, inputs), tf.convert_to_tensor(seeds))

    return on_tensors


def _compile_jax(model: Callable[[], keras.Model]) -> Callable[[Any, np.ndarray], Tensor]:
    import jax

    @jax.jit
    def draw_outputs(values: list[Tensor], inputs: Any, seeds: Tensor) -> Tensor:
        def one_draw(seed: Tensor) -> Tensor:
            with keras.StatelessScope(state_mapping=list(zip(model().variables, values, strict=True))):
                return _outputs_of_draw(model(), inputs, seed)

        return jax.lax.map(one_draw, seeds)

    def on_values(inputs: Any, seeds: np.ndarray) -> Tensor:
        return draw_outputs([variable.value for variable in model().variables], inputs, seeds)

    return on_values
