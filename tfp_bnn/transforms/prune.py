"""Pruning: weights whose posterior says little against 0 are set to 0 for good.

A weight of signal-to-noise ratio `|mean| / stddev` near 0 may as well be 0. Its mean and its standard deviation both
become 0: a weight without a mean that kept its standard deviation would go on making noise.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.layers.tfp_functions import DistributionPrior
from tfp_bnn.posteriors import NormalWeights, Posterior, Pruned, PrunedVariables
from tfp_bnn.transforms.copied import copy_model
from tfp_bnn.transforms.to_deterministic import check_replaced


class WeightCount(NamedTuple):
    """How many random weights a model has, and how many of them it still holds."""

    total: int
    kept: int

    @property
    def sparsity(self) -> float:
        """The share of weights that are pruned."""
        return 1 - self.kept / self.total


def signal_to_noise(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the signal-to-noise ratio of each random weight of a model, `|mean| / stddev`; 0 where it is pruned.

    Args:
        model: a built model whose posteriors are Gaussian.

    Returns:
        Arrays of the weights' shapes, by layer and name: "bayesian_mlp/dense_flipout/kernel".

    Raises:
        ValueError: if the model has no random weights, if a posterior is not Gaussian, or if a ratio is not a number.

    Example:

    >>> from tfp_bnn import models
    >>> ratios = signal_to_noise(models.mlp((4,), units=(8,), num_outputs=2))
    >>> [ratio.shape for ratio in ratios.values()]
    [(4, 8), (8, 2)]

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1 (figure 4).
    """
    named: dict[str, np.ndarray] = {}
    for layer, weights in _random_tensors(model):
        name = f"{layer.path}/{weights}"
        # Layers of nested models may share a path.
        same = sum(other.split(" ")[0] == name for other in named)
        named[f"{name} {same + 1}" if same else name] = _ratios(layer, weights)
    return named


def prune(model: keras.Model, sparsity: float, by_layer: bool = False) -> keras.Model:
    """Returns a copy of a model without the weights whose signal-to-noise ratio, `|mean| / stddev`, is least.

    Their means and their standard deviations become 0. They stay 0 when the copy is trained on, and its KL term leaves
    them out. Weights that are pruned in the model are pruned in the copy. Weights that are not random, such as the
    biases of most layers, stay as they are.

    Args:
        model: a built model whose posteriors are Gaussian.
        sparsity: share of the random weights to prune, from 0 to 1.
        by_layer: prune this share of each layer's weights, instead of all of the network's weights together.

    Returns:
        The copy, compiled as the model is; its optimizer starts anew.

    Raises:
        ValueError: if an argument is out of range, or if a posterior is not Gaussian.

    Example:

    >>> from tfp_bnn import models
    >>> pruned = prune(models.mlp((4,), units=(8,), num_outputs=2), sparsity=0.75)
    >>> count_weights(pruned)
    WeightCount(total=48, kept=12)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1 (table 2).
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"`sparsity` must be a number from 0 to 1. Received: sparsity={sparsity}")
    _check_priors(model)
    check_replaced(model)
    pruned, copies = copy_model(
        model, lambda layer: _with_pruned_posteriors(layer) if isinstance(layer, VariationalLayer) else None
    )
    copy_of = {id(layer): copy for layer, copy in copies}
    for layer, copy in copies:
        _copy_state(layer, copy)
    for layer, weights, kept in _weights_to_keep(model, sparsity, by_layer):
        copy_of[id(layer)].random_weights[weights][0].kept.assign(kept)
    return pruned


def count_weights(model: keras.Model) -> WeightCount:
    """Returns how many random weights a built model has, and how many of them are not pruned.

    Raises:
        ValueError: if the model has no random weights.

    Example:

    >>> from tfp_bnn import models
    >>> count_weights(models.mlp((4,), units=(8,), num_outputs=2)).sparsity
    0.0
    """
    total = kept = 0
    for layer, weights in _random_tensors(model):
        variables, _ = layer.random_weights[weights]
        size = math.prod(variables.read().mean.shape)
        total += size
        kept += int(np.count_nonzero(_mask(variables))) if isinstance(variables, PrunedVariables) else size
    return WeightCount(total, kept)


# Reading the model.


def _random_tensors(model: keras.Model) -> list[tuple[VariationalLayer, str]]:
    """Returns the layer and the name of each tensor of random weights."""
    found = [(layer, weights) for layer in variational_layers(model) for weights in layer.random_weights]
    if not found:
        raise ValueError(f"The model has no random weights; is it built? Received: model={model!r}")
    return found


def _ratios(layer: VariationalLayer, weights: str) -> np.ndarray:
    posterior = layer.random_weights[weights][0].read()
    if not isinstance(posterior, NormalWeights):
        raise ValueError(
            "A signal-to-noise ratio is known of Gaussian posteriors only. "
            f"Received: {type(posterior).__name__} in {layer.name!r}"
        )
    mean, stddev = (keras.ops.convert_to_numpy(part) for part in (posterior.mean, posterior.stddev))
    # Pruned weights have neither. A standard deviation that training brought to 0 is that of a certain weight.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(mean == 0, 0.0, np.abs(mean.astype("float64")) / stddev)
    if np.isnan(ratios).any():
        raise ValueError(
            "The posterior must be finite; the training may have diverged. "
            f"Received: {np.isnan(ratios).sum():,} of {ratios.size:,} weights of {layer.name!r} not a number"
        )
    return ratios


def _check_priors(model: keras.Model) -> None:
    for layer in variational_layers(model):
        for _, prior in layer.random_weights.values():
            if isinstance(prior, DistributionPrior):
                raise ValueError(
                    "A prior that is one distribution over all weights of a layer says nothing of those that are "
                    f"left. Received: a function for the prior of {layer.name!r}"
                )


def _weights_to_keep(
    model: keras.Model, sparsity: float, by_layer: bool
) -> list[tuple[VariationalLayer, str, np.ndarray]]:
    """Returns the layer and the name of each tensor of random weights, and True where a weight is kept."""
    tensors = _random_tensors(model)
    groups = [[t for t in tensors if t[0] is layer] for layer in variational_layers(model)] if by_layer else [tensors]
    kept = []
    for group in groups:
        for (layer, weights), mask in zip(group, _greatest([_ratios(*t) for t in group], sparsity), strict=True):
            variables, _ = layer.random_weights[weights]
            # What a model has pruned stays pruned, also where `sparsity` is less than its own.
            before = _mask(variables) if isinstance(variables, PrunedVariables) else True
            kept.append((layer, weights, mask & before))
    return kept


def _mask(variables: PrunedVariables) -> np.ndarray:
    return keras.ops.convert_to_numpy(variables.kept) != 0


def _greatest(arrays: Sequence[np.ndarray], sparsity: float) -> list[np.ndarray]:
    """Returns, for each array, True except for the share `sparsity` of the entries of all arrays that are least."""
    if not arrays:
        return []
    flat = np.concatenate([array.ravel() for array in arrays])
    kept = np.ones(flat.size, bool)
    kept[np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]] = False
    parts = np.split(kept, np.cumsum([array.size for array in arrays])[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


# Making the copy.


def _with_pruned_posteriors(layer: VariationalLayer) -> VariationalLayer:
    """Returns a layer, not built, of the same arguments with posteriors that can be pruned."""
    config = layer.get_config()
    posteriors = {
        name: Pruned(value)
        for name, value in config.items()
        if isinstance(value, Posterior) and not isinstance(value, Pruned)
    }
    return type(layer).from_config({**config, **posteriors})


def _copy_state(layer: VariationalLayer, copy: VariationalLayer) -> None:
    """Copies all variables and the state of the noise; the copy has masks beside them, whatever the layer has."""
    sources, targets = (
        [variable for variable in each.variables if id(variable) not in _masks(each)] for each in (layer, copy)
    )
    for source, target in zip(sources, targets, strict=True):
        target.assign(source.value)
    if layer.kl_weight is not None:
        copy.kl_weight = layer.kl_weight


def _masks(layer: VariationalLayer) -> set[int]:
    random_weights = layer.random_weights.values()
    return {id(variables.kept) for variables, _ in random_weights if isinstance(variables, PrunedVariables)}
