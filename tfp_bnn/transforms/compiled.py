"""Copies of models, compiled as the models are."""

import warnings
from typing import Any

import keras

from tfp_bnn import _keras


def compile_like(model: keras.Model, copy: keras.Model) -> None:
    """Compiles a copy with what a model is compiled with; optimizer and metrics start anew.

    Functions are the same ones, lambdas too. A class with a `compile` of its own needs a `compile_from_config`, as for
    saving. Warns if the copy cannot be compiled.
    """
    arguments = _keras.arguments_of_compile(model)
    try:
        if arguments is None:
            copy.compile_from_config(model.get_compile_config())
            return
        with _keras.functions_trusted():
            copy.compile(**keras.tree.map_structure(_anew, arguments))
    except (TypeError, ValueError, NotImplementedError) as error:
        warnings.warn(
            f"The copy of {model.name!r} is not compiled, since how the model is compiled cannot be saved: {error}",
            stacklevel=4,
        )
        return
    if copy.optimizer is not None:
        _keras.copy_names_kept_from_weight_decay(model.optimizer, copy.optimizer)
        copy.optimizer.build(copy.trainable_variables)


def _anew(argument: Any) -> Any:
    """Returns an optimizer, a loss or a metric of the same arguments; what has no state, as it is."""
    if isinstance(argument, keras.optimizers.Optimizer | keras.losses.Loss | keras.metrics.Metric):
        return type(argument).from_config(argument.get_config())
    return argument
