"""The outputs of a model and the losses that it was compiled with, which may be one, a list or a dict."""

from collections.abc import Iterator
from typing import Any

import keras

from tfp_bnn.likelihoods import Likelihood

Tensor = Any


def check_heads(model: keras.Model) -> None:
    """Raises ValueError if a model is seen to end in what its likelihoods do not take, before it is trained."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, Likelihood):
        loss.check_model(model)
    elif isinstance(model, keras.Model) and hasattr(model, "outputs") and not isinstance(model, keras.Sequential):
        check_outputs(model, model.output)


def check_outputs(model: keras.Model, y_pred: Any) -> None:
    """Raises ValueError if outputs are seen not to be what their likelihoods take.

    A loss itself sees tensors that may have been cast, and have lost the sign of what made them.
    """
    for loss, output, _ in outputs_with_losses(model, y_pred):
        if isinstance(loss, Likelihood):
            loss.check_outputs(output)


def outputs_with_losses(
    model: keras.Model, y_pred: Any, sample_weight: Any = None
) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
    """Yields the loss, the output and its sample weights, for each output of a model that has a loss of `compile`.

    If the model has none, as one with a `compute_loss` of its own, that of each output is None.
    """
    loss = getattr(model, "loss", None)
    if loss is None:
        return ((None, output, None) for output in keras.tree.flatten(y_pred))
    return _outputs(loss, y_pred, sample_weight, model)


def _outputs(loss: Any, y_pred: Any, sample_weight: Any, model: keras.Model) -> Iterator[tuple[Any, Any, Any]]:
    if loss is None:
        return
    if isinstance(loss, dict):
        named = (
            y_pred
            if isinstance(y_pred, dict)
            else dict(zip(model.output_names, keras.tree.flatten(y_pred), strict=False))
        )
        weights = sample_weight if isinstance(sample_weight, dict) else {}
        for name, of_output in loss.items():
            yield from _outputs(of_output, named[name], weights.get(name), model)
    elif isinstance(loss, list | tuple):
        weights = sample_weight if isinstance(sample_weight, list | tuple) else [None] * len(loss)
        for parts in zip(loss, keras.tree.flatten(y_pred), weights, strict=False):
            yield from _outputs(*parts, model)
    else:
        weight = None if keras.tree.is_nested(sample_weight) else sample_weight
        for output in keras.tree.flatten(y_pred):
            yield loss, output, weight
