"""How many observations a minibatch has, beside its examples: what the KL term is to be divided by.

Keras takes the mean of the data term over all observations of a minibatch: its examples, times positions (time steps,
pixels), less what a mask hides. `kl_weight` is 1 / N of N training examples. So that both are of one objective, the KL
term counts `examples / observations` times it.
"""

import math
from typing import Any

import keras

from tfp_bnn import _backend, _keras
from tfp_bnn.outputs import outputs_with_losses

Tensor = Any


def kl_scale(model: keras.Model, y_pred: Any, sample_weight: Any) -> float | Tensor:
    """Returns by what the KL term is to be multiplied in this minibatch: examples over the divisor of the data term.

    1 for outputs [n, d]; 1 / T for outputs [n, T, d] without a mask. Of several outputs the greatest: that with the
    fewest positions.

    Args:
        model: the model; the reductions of its losses count, as does "sum", which does not divide.
        y_pred: its outputs, with their masks.
        sample_weight: weights of the examples or observations, which one of Keras's reductions divides by; or None.
    """
    scales = [
        _scale(output, weight, getattr(loss, "reduction", "sum_over_batch_size"))
        for loss, output, weight in outputs_with_losses(model, y_pred, sample_weight)
    ]
    if all(isinstance(scale, float) for scale in scales):
        return max(scales, default=1.0)
    return keras.ops.max(keras.ops.stack([keras.ops.cast(scale, keras.config.floatx()) for scale in scales]))


def _scale(output: Tensor, sample_weight: Tensor | None, reduction: str | None) -> float | Tensor:
    ops = keras.ops
    positions = ops.shape(output)[1:-1]
    mask = _keras.mask_of(output)
    examples = ops.cast(ops.shape(output)[0], keras.config.floatx())
    if reduction == "sum":
        # Keras counts sums of several replicas whole, and of other losses each replica's share.
        return examples * _backend.num_replicas()
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weights = ops.cast(sample_weight, keras.config.floatx())
        return ops.divide_no_nan(examples, ops.sum(weights if mask is None else _masked(weights, mask)))
    if mask is not None:
        return ops.divide_no_nan(examples, ops.sum(ops.cast(mask, keras.config.floatx())))
    if all(isinstance(size, int) for size in positions):
        return 1.0 / max(1, math.prod(positions))
    return 1.0 / ops.prod(ops.stack([ops.cast(size, keras.config.floatx()) for size in positions]))


def _masked(weights: Tensor, mask: Tensor) -> Tensor:
    mask = keras.ops.cast(mask, keras.config.floatx())
    missing = len(mask.shape) - len(weights.shape)
    return keras.ops.reshape(weights, (*keras.ops.shape(weights), *[1] * missing)) * mask
