"""Whole networks drawn from a Bayesian model, and their outputs: what all Monte Carlo predictions are made of."""

import random
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from tfp_bnn import _backend, _keras
from tfp_bnn._checks import check_type
from tfp_bnn._numerics.noise import counted
from tfp_bnn._numerics.precision import widened
from tfp_bnn.layers import held_weights
from tfp_bnn.layers.base import variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.batch_sizes import BatchSizes, filled_up, fixed_size_of, num_rows
from tfp_bnn.prediction.fingerprint import Change, Fingerprint
from tfp_bnn.prediction.heads import known_heads

Tensor = Any
Check = Callable[[Any], None]

BAR_DELAY_SECONDS = 2.0
"""What takes less long shows no progress bar."""


def likelihood_of(model: keras.Model, likelihood: Likelihood | None) -> Likelihood:
    """Returns the likelihood of a model of one output, or that which it was compiled with.

    Raises:
        ValueError: if there is none, if it is seen not to be one of the model's outputs, or if these are several.
    """
    heads = known_heads(model, likelihood)
    if heads is None:
        found = getattr(model, "loss", None) if likelihood is None else likelihood
        return check_type("likelihood", found, Likelihood)
    if len(heads.likelihoods) > 1:
        raise ValueError(
            "This takes models of one output; make a model of each, such as keras.Model(model.inputs, "
            f"model.outputs[0]). Received: {len(heads.likelihoods)} outputs of {model.name!r}"
        )
    return heads.likelihoods[0]


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


class DrawnOutputs(NamedTuple):
    """Outputs of drawn networks.

    Args:
        structure: of the outputs, with numbers 0, 1, ... in their places.
        outputs: of each output, [draws, n, ...]; float64 if the model's are, and float32 otherwise.
        masks: of each output, where it has positions and a layer says which of them are padding: bool, True where
            there is something, the shape of an output of one draw without its last axis; None otherwise.
    """

    structure: Any
    outputs: list[np.ndarray]
    masks: list[np.ndarray | None]


def draw_outputs(
    model: keras.Model, inputs: Any, seeds: np.ndarray, check: Check = lambda outputs: None
) -> DrawnOutputs:
    """Returns the outputs of the networks that are drawn with the given seeds.

    All draws run inside one compiled function, in which each network is drawn once. The model keeps it: to compile
    takes as long as many a prediction, and training draws plots again and again. Several threads may call this at once.

    Args:
        model: the model.
        inputs: arrays, in the structure that the model takes.
        seeds: those of `seeds_of_draws`.
        check: sees the outputs of a draw, [n, ...] each and in their structure, while they are compiled; may raise.
    """
    with _COMPILING:
        draws = getattr(model, "_tfp_bnn_draws", None)
        if draws is None or not draws.are_up_to_date():
            draws = _CompiledDraws(model)
        size = num_rows(inputs)
        inputs = draws.filled_up(inputs)
        tensors = draws.compile_and_run(inputs, seeds, check)
        model._tfp_bnn_draws = draws
    return draws.arrays(draws.run(inputs, seeds) if tensors is None else tensors, size)


# Keras's layers are called by one thread at a time: to compile sets their attributes. One lock for all models, as they
# may share layers; it is one that its thread may take again, for a model whose `call` predicts.
_COMPILING = threading.RLock()
_MOST_SIGNATURES = 1000


class _CompiledDraws:
    """The draws of a model as it is when this is made, compiled."""

    def __init__(self, model: keras.Model):
        self._model = model
        self._fingerprint = Fingerprint(model)
        self._set_by_call: set[Change] | None = None
        self._check: Check | None = None
        self._sizes = BatchSizes(fixed_size_of(model))
        self._is_filled_up = _backend.compiles_for_each_shape(model) or fixed_size_of(model) is not None
        self._compiled: set[Any] = set()
        self._structure: Any = None
        self._has_mask: list[bool] = []
        self.run = _backend.compile_draws(model, self._fingerprint.variables, self._outputs_of_draw)

    def are_up_to_date(self) -> bool:
        """Returns whether the model is still what was compiled."""
        return self._fingerprint.changes() <= self._set_by_call

    def filled_up(self, inputs: Any) -> Any:
        """Returns inputs filled up to a number for which there is, or will be, a compiled function."""
        return filled_up(inputs, self._sizes.fitting(num_rows(inputs))) if self._is_filled_up else inputs

    def compile_and_run(self, inputs: Any, seeds: np.ndarray, check: Check) -> list[Tensor] | None:
        """Returns the tensors of the networks that are drawn; None if what computes them is compiled already."""
        signature = (*((array.shape, array.dtype) for array in keras.tree.flatten(inputs)), len(seeds))
        if signature in self._compiled:
            return None
        self._check = check
        tensors = self.run(inputs, seeds)
        if self._set_by_call is None:
            # What a layer's `call` itself sets, such as a count of its calls, says nothing of what it does.
            self._set_by_call = self._fingerprint.changes()
        if len(self._compiled) < _MOST_SIGNATURES:
            self._compiled.add(signature)
        return tensors

    def arrays(self, tensors: list[Tensor], size: int) -> DrawnOutputs:
        """Returns what was computed, of the inputs alone that were not filled in."""
        arrays = [keras.ops.convert_to_numpy(tensor)[:, :size] for tensor in tensors]
        number = len(self._has_mask)
        outputs = [array.astype(widened(array.dtype), copy=False) for array in arrays[:number]]
        masks = iter(arrays[number:])
        return DrawnOutputs(self._structure, outputs, [next(masks)[0] if has else None for has in self._has_mask])

    def _outputs_of_draw(self, inputs: Tensor, seed: Tensor) -> list[Tensor]:
        noise = counted(seed)
        weights = {layer: layer.sample_weights(noise) for layer in variational_layers(self._model)}
        with held_weights.hold(weights):
            structure = self._model(inputs, training=False)
        self._check(structure)
        outputs = keras.tree.flatten(structure)
        masks = [mask_beside(output) for output in outputs]
        self._structure = keras.tree.pack_sequence_as(structure, list(range(len(outputs))))
        self._has_mask = [mask is not None for mask in masks]
        return [*outputs, *(mask for mask in masks if mask is not None)]


def mask_beside(output: Tensor) -> Tensor | None:
    """Returns the mask that layers gave an output, in the shape of its positions; None if it has none of these."""
    mask = _keras.mask_of(output)
    rank = len(output.shape) - 1
    if mask is None or rank < 2 or len(mask.shape) > rank:
        return None
    ops = keras.ops
    mask = ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *[1] * (rank - len(mask.shape))))
    return ops.broadcast_to(mask, ops.shape(output)[:-1])
