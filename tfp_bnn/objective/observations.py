"""How many observations a minibatch has, beside its examples: what the KL term is to be divided by.

Keras takes the mean of the data term over all observations of a minibatch: its examples, times positions (time steps,
pixels), less what a mask hides. `kl_weight` is 1 / N of N training examples. So that both are of one objective, the KL
term counts `examples / observations` times it.
"""

import math
from typing import Any

import keras

from tfp_bnn import _backend, _keras
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.objective.outputs import Output, outputs_with_losses

Tensor = Any


def kl_scale(model: keras.Model, y_pred: Any, y: Any, sample_weight: Any) -> float | Tensor:
    """Returns by what the KL term is to be multiplied in this minibatch: examples over the divisor of the data term.

    1 for outputs [n, d]; 1 / T for outputs [n, T, d] without a mask. Of several outputs the greatest: that with the
    fewest positions.

    Args:
        model: the model; the reductions of its losses count, as does "sum", which does not divide.
        y_pred: its outputs, with their masks.
        y: the targets.
        sample_weight: weights of the examples or observations, which one of Keras's reductions divides by; or None.
    """
    scales = [_scale(output) for output in outputs_with_losses(model, y_pred, y, sample_weight)]
    if all(isinstance(scale, float) for scale in scales):
        return max(scales, default=1.0)
    return keras.ops.max(keras.ops.stack([keras.ops.cast(scale, keras.config.floatx()) for scale in scales]))


def _scale(output: Output) -> float | Tensor:
    ops, floatx = keras.ops, keras.config.floatx()
    shape = _shape_of_loss(output)
    mask = _keras.mask_of(output.value)
    mask = mask if mask is not None and len(mask.shape) == len(shape) else None
    examples = ops.cast(ops.shape(output.value)[0], floatx)
    reduction = getattr(output.loss, "reduction", None)
    if reduction == "sum":
        # Keras counts sums of several replicas whole, and of other losses each replica's share.
        return examples * _backend.num_replicas()
    if reduction == "mean_with_sample_weight" and output.sample_weight is not None:
        weights = ops.cast(output.sample_weight, floatx)
        return ops.divide_no_nan(examples, ops.sum(weights if mask is None else _masked(weights, mask)))
    if mask is not None:
        return ops.divide_no_nan(examples, ops.sum(ops.cast(mask, floatx)))
    if all(isinstance(size, int) for size in shape[1:]):
        return 1.0 / max(1, math.prod(shape[1:]))
    return 1.0 / ops.prod(ops.stack([ops.cast(size, floatx) for size in shape[1:]]))


def _shape_of_loss(output: Output) -> tuple[Any, ...]:
    """Returns the shape of an output's losses before Keras takes their mean: that of the output without its last axis.

    A loss of the user's own may take the mean over positions itself.
    """
    if _is_of_users(output.loss) and output.targets is not None:
        loss = output.loss if isinstance(output.loss, keras.losses.Loss) else _keras.LossFunctionWrapper(output.loss)
        # As Keras's `Loss` calls it. The values are not used: what compiles leaves them out.
        targets, value = (keras.ops.convert_to_tensor(each, loss.dtype) for each in (output.targets, output.value))
        shape = keras.ops.shape(loss.call(targets, value))
        if shape:
            return shape
    return keras.ops.shape(output.value)[:-1]


def _is_of_users(loss: Any) -> bool:
    module = getattr(loss if callable(loss) else None, "__module__", "keras.")
    return not isinstance(loss, Likelihood) and not module.startswith("keras.")


def _masked(weights: Tensor, mask: Tensor) -> Tensor:
    mask = keras.ops.cast(mask, keras.config.floatx())
    missing = len(mask.shape) - len(weights.shape)
    return keras.ops.reshape(weights, (*keras.ops.shape(weights), *[1] * missing)) * mask
