"""Whole networks drawn from a Bayesian model, and their outputs: what all Monte Carlo predictions are made of."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from tfp_bnn import _backend
from tfp_bnn._checks import check_type
from tfp_bnn._numerics.noise import counted
from tfp_bnn._numerics.precision import widened
from tfp_bnn.layers import held_weights
from tfp_bnn.layers.base import variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.fingerprint import Change, Fingerprint

Tensor = Any
Check = Callable[[Tensor], None]

BAR_DELAY_SECONDS = 2.0
"""What takes less long shows no progress bar."""


def likelihood_of(model: keras.Model, likelihood: Likelihood | None) -> Likelihood:
    """Returns the likelihood, or that which a model was compiled with.

    Raises:
        ValueError: if there is none, if it is seen not to be one of the model's outputs, or if these are several.
    """
    number = len(_known_outputs(model))
    if number > 1:
        raise several_outputs(model, number)
    if likelihood is None:
        likelihood = _compiled_likelihood(model)
    check_type("likelihood", likelihood, Likelihood).check_model(model)
    return likelihood


def _compiled_likelihood(model: keras.Model) -> Likelihood:
    losses = keras.tree.flatten(getattr(model, "loss", None))
    if len(losses) != 1 or not isinstance(losses[0], Likelihood):
        raise ValueError(
            "A prediction needs a likelihood: compile the model with one, such as "
            "model.compile(..., loss=tfp_bnn.likelihoods.Categorical()), or pass predict(..., likelihood=...). "
            f"Received: a model with loss={', '.join(map(_name_of_loss, losses))}"
        )
    return losses[0]


def _known_outputs(model: keras.Model) -> list[Any]:
    outputs = getattr(model, "outputs", None)
    return outputs if isinstance(outputs, list) else []


def _name_of_loss(loss: Any) -> str:
    if isinstance(loss, keras.losses.Loss):
        return type(loss).__name__
    return getattr(loss, "__name__", repr(loss))


def batches_of(arrays: Any, batch_size: int) -> Iterator[Any]:
    """Yields arrays, or structures of arrays of one length, `batch_size` rows at a time."""
    for start in range(0, len(keras.tree.flatten(arrays)[0]), batch_size):
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


def draw_outputs(model: keras.Model, inputs: Any, seeds: np.ndarray, check: Check = lambda outputs: None) -> np.ndarray:
    """Returns the outputs, [draws, n, outputs], of the networks that are drawn with the given seeds.

    They are float64 if the model's are, and float32 otherwise. All draws run inside one compiled function, in which
    each network is drawn once. The model keeps it: to compile takes as long as many a prediction, and training draws
    plots again and again.

    Args:
        model: the model.
        inputs: arrays, in the structure that the model takes.
        seeds: those of `seeds_of_draws`.
        check: sees the outputs of a draw, [n, outputs], while they are compiled, and may raise.
    """
    draws = getattr(model, "_tfp_bnn_draws", None)
    if draws is None or not draws.are_up_to_date():
        draws = _CompiledDraws(model)
    outputs = draws.run(inputs, seeds, check)
    model._tfp_bnn_draws = draws
    return outputs.astype(widened(outputs.dtype), copy=False)


class _CompiledDraws:
    """The draws of a model as it is when this is made, compiled."""

    def __init__(self, model: keras.Model):
        self._model = model
        self._fingerprint = Fingerprint(model)
        self._set_by_call: set[Change] | None = None
        self._check: Check | None = None
        self._run = _backend.compile_draws(model, self._fingerprint.variables, self._outputs_of_draw)

    def are_up_to_date(self) -> bool:
        """Returns whether the model is still what was compiled."""
        return self._fingerprint.changes() <= self._set_by_call

    def run(self, inputs: Any, seeds: np.ndarray, check: Check) -> np.ndarray:
        """Returns the outputs of the networks that are drawn with the given seeds."""
        self._check = check
        outputs = keras.ops.convert_to_numpy(self._run(inputs, seeds))
        if self._set_by_call is None:
            # What a layer's `call` itself sets, such as a count of its calls, says nothing of what it does.
            self._set_by_call = self._fingerprint.changes()
        return outputs

    def _outputs_of_draw(self, inputs: Tensor, seed: Tensor) -> Tensor:
        noise = counted(seed)
        weights = {layer: layer.sample_weights(noise) for layer in variational_layers(self._model)}
        with held_weights.hold(weights):
            outputs = keras.tree.flatten(self._model(inputs, training=False))
        if len(outputs) != 1:
            raise several_outputs(self._model, len(outputs))
        self._check(outputs[0])
        return outputs[0]


def several_outputs(model: keras.Model, number: int) -> ValueError:
    """Returns the error of a model whose outputs are not one tensor."""
    return ValueError(
        "`predict` and `summarize` take models of one output; make a model of each, such as "
        f"keras.Model(model.inputs, model.outputs[0]). Received: {number} outputs of {model.name!r}"
    )
