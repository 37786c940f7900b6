"""Many training steps in one compiled call: for data so few that Keras's `fit` would spend its time between steps."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Tensor = Any
MakeBatch = Callable[..., tuple[Tensor, Tensor]]


def compiled_steps(model: keras.Model, make_batch: MakeBatch) -> Callable[..., None]:
    """Returns a function that trains a compiled and built model, a step for each entry of its arguments.

    Args:
        model: the model; its `train_step` is what a step is.
        make_batch: makes inputs and targets of one entry of each argument, from tensors, in `keras.ops`.
    """
    make = _compile_tensorflow if keras.backend.backend() == "tensorflow" else _compile_jax
    return make(model, make_batch)


def _compile_tensorflow(model: keras.Model, make_batch: MakeBatch) -> Callable[..., None]:
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def steps(*arguments: Tensor) -> None:
        for step in tf.range(arguments[0].shape[0]):
            model.train_step(make_batch(*(argument[step] for argument in arguments)))

    def on_arrays(*arguments: np.ndarray) -> None:
        steps(*map(tf.convert_to_tensor, arguments))

    return on_arrays


def _compile_jax(model: keras.Model, make_batch: MakeBatch) -> Callable[..., None]:
    import jax

    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )

    @jax.jit
    def steps(state: tuple, arguments: tuple) -> tuple:
        def step(state: tuple, entries: tuple) -> tuple[tuple, None]:
            return model.train_step(state, make_batch(*entries))[1], None

        return jax.lax.scan(step, state, arguments)[0]

    def on_arrays(*arguments: np.ndarray) -> None:
        state = tuple([variable.value for variable in group] for group in groups)
        for group, values in zip(groups, steps(state, arguments), strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    return on_arrays
