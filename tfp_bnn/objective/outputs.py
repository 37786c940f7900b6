"""The outputs of a model and the losses that it was compiled with, which may be one, a list or a dict."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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
    for output in outputs_with_losses(model, y_pred):
        if isinstance(output.loss, Likelihood):
            output.loss.check_outputs(output.value)


class Output(NamedTuple):
    """An output of a model, and what belongs to it: the loss that it has of `compile`, targets and sample weights."""

    value: Tensor
    loss: Any
    targets: Tensor | None
    sample_weight: Tensor | None


def outputs_with_losses(model: keras.Model, y_pred: Any, y: Any = None, sample_weight: Any = None) -> Iterator[Output]:
    """Yields each output of a model that has a loss.

    If the model was compiled with none, as one with a `compute_loss` of its own, all outputs are yielded with none.
    """
    loss = getattr(model, "loss", None)
    if loss is None:
        return (Output(value, None, None, None) for value in keras.tree.flatten(y_pred))
    if isinstance(loss, dict) and not isinstance(y_pred, dict):
        y_pred = dict(zip(model.output_names, keras.tree.flatten(y_pred), strict=False))
    return _outputs(y_pred, loss, y, sample_weight)


def losses_of_outputs(outputs: Any, names: Sequence[str], losses: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each output that has a loss, with that loss.

    Args:
        outputs: in their structure.
        names: of the outputs, in order.
        losses: one for all, or a dict or list of them, as `compile` takes them.
    """
    if isinstance(losses, dict) and not isinstance(outputs, dict):
        outputs = dict(zip(names, keras.tree.flatten(outputs), strict=False))
    return ((output.value, output.loss) for output in _outputs(outputs, losses, None, None))


def _outputs(y_pred: Any, loss: Any, y: Any, sample_weight: Any) -> Iterator[Output]:
    if isinstance(loss, dict):
        for name, of_output in loss.items():
            yield from _outputs(y_pred[name], of_output, *(_part(each, name) for each in (y, sample_weight)))
    elif isinstance(loss, list | tuple):
        for index, (value, of_output) in enumerate(zip(keras.tree.flatten(y_pred), loss, strict=False)):
            yield from _outputs(value, of_output, *(_part(each, index) for each in (y, sample_weight)))
    elif loss is not None:
        parts = [None if keras.tree.is_nested(each) else each for each in (y, sample_weight)]
        for value in keras.tree.flatten(y_pred):
            yield Output(value, loss, *parts)


def _part(structure: Any, key: str | int) -> Any:
    """Returns what belongs to an output in a dict by its name, or in a list by its number; None if that is not told."""
    if isinstance(structure, dict):
        return structure.get(key)
    return structure[key] if isinstance(structure, list | tuple) and isinstance(key, int) else None
