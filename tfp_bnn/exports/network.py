"""The function that a file holds: from inputs, and a seed if draws are fresh, to statistics over draws."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn._keras import input_signature
from tfp_bnn.exports.draws import FreshWeights, Weights
from tfp_bnn.exports.statistics import Statistics
from tfp_bnn.layers import held_weights
from tfp_bnn.prediction.draws import mask_beside

Tensor = Any

SEED = "seed"
# Names that Keras makes up, which are others in each process.
_MADE_UP = re.compile(r"(keras_tensor|input_layer|input)(_\d+)?")


class Network:
    """What is exported: it takes tensors, one for each input of the model, and returns tensors by name.

    Args:
        model: the model.
        statistics: what is computed from its outputs.
        outputs: which of them are put out.
        weights: of each draw; or `FreshWeights`, with which the last tensor that it takes is the seed.
        num_draws: how many draws.
    """

    def __init__(
        self,
        model: keras.Model,
        statistics: Statistics,
        outputs: Sequence[str],
        weights: Sequence[Weights] | FreshWeights,
        num_draws: int,
    ):
        self._model, self._statistics, self._outputs = model, statistics, outputs
        self._weights, self._num_draws = weights, num_draws
        self._structure = input_signature(model)

    @property
    def signature(self) -> list[keras.InputSpec]:
        """The inputs: their shapes, dtypes and names."""
        fresh = isinstance(self._weights, FreshWeights)
        return inputs_of(self._model) + [keras.InputSpec(shape=(), dtype="int32", name=SEED)] * fresh

    @property
    def stored(self) -> dict[str, np.ndarray]:
        """The stored weights of all draws by names of their own; none if draws are fresh."""
        if isinstance(self._weights, FreshWeights):
            return {}
        return {_name(*place): array for place, array in _places(self._weights)}

    def __call__(self, *tensors: Tensor, stored: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Returns the statistics.

        Args:
            *tensors: one for each part of the signature.
            stored: tensors in place of the stored weights, by their names.
        """
        if isinstance(self._weights, FreshWeights):
            *tensors, seed = tensors
            averages, mask = self._over_fresh_draws(tensors, seed)
        else:
            averages, mask = self._over_stored_draws(tensors, stored or {})
        found = self._statistics.of(averages, mask)
        return {name: found[name] for name in self._outputs}

    def _over_stored_draws(
        self, tensors: Sequence[Tensor], stored: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], Tensor | None]:
        """Returns the averages over draws: no loop, so that the weights of each are constants."""
        drawn = [
            self._parameters_of_draw(
                tensors,
                {
                    layer: {name: stored.get(_name(draw, number, name), array) for name, array in weights.items()}
                    for number, (layer, weights) in enumerate(of_draw.items())
                },
            )
            for draw, of_draw in enumerate(self._weights)
        ]
        draws = keras.ops.stack([parameters for parameters, _ in drawn])
        return self._statistics.averages(draws), drawn[0][1]

    def _over_fresh_draws(self, tensors: Sequence[Tensor], seed: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Returns the averages over draws, in a loop: only one drawn network is in memory."""
        weights_of = self._weights.drawn(seed)
        masks: list[Tensor | None] = []

        def add(draw: Tensor, averages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            parameters, mask = self._parameters_of_draw(tensors, weights_of(draw))
            masks.append(mask)
            count = keras.ops.cast(draw, "float32")
            return tuple(self._statistics.averages_with(averages, parameters, count))

        shape = (keras.ops.shape(tensors[0])[0], *shape_of_outputs(self._model)[1:])
        zeros = tuple(self._statistics.initial_averages(shape))
        averages = list(keras.ops.fori_loop(0, self._num_draws, add, zeros))
        if masks[0] is None:
            return averages, None
        # That of any draw, outside of the loop; the network's outputs are not computed for it.
        return averages, self._parameters_of_draw(tensors, weights_of(keras.ops.convert_to_tensor(0, "int32")))[1]

    def _parameters_of_draw(self, tensors: Sequence[Tensor], weights: Weights) -> tuple[Tensor, Tensor | None]:
        arguments = keras.tree.pack_sequence_as(self._structure, list(tensors))
        # What a layer updates, such as the state of a stateful one, is of no draw but its own.
        with keras.StatelessScope(), held_weights.hold(weights):
            outputs = self._model(*arguments, training=False)
        mask = mask_beside(outputs)
        return self._statistics.parameters(outputs), mask


def _places(weights: Sequence[Weights]) -> Iterator[tuple[tuple[int, int, str], np.ndarray]]:
    """Yields each stored array with the numbers of its draw and layer, and its name in the layer."""
    for draw, of_draw in enumerate(weights):
        for number, of_layer in enumerate(of_draw.values()):
            yield from (((draw, number, name), array) for name, array in of_layer.items())


def _name(draw: int, layer: int, name: str) -> str:
    return f"stored_{draw}_{layer}_{name}"


def inputs_of(model: keras.Model) -> list[keras.InputSpec]:
    """Returns the inputs of a model in the order of its tensors: shapes, with None for the batch, dtypes and names."""
    specs = keras.tree.flatten(input_signature(model))
    names = [None if _MADE_UP.fullmatch(spec.name or "input") else spec.name for spec in specs]
    instead = ["inputs"] if len(specs) == 1 else [f"inputs_{number}" for number in range(len(specs))]
    return [
        keras.InputSpec(shape=spec.shape, dtype=spec.dtype, name=name or other)
        for spec, name, other in zip(specs, names, instead, strict=True)
    ]


def shape_of_outputs(model: keras.Model) -> tuple[int | None, ...]:
    """Returns the shape of a model's one output, [None, ..., outputs]."""
    structure = input_signature(model)
    symbolic = keras.tree.map_structure(lambda spec: keras.KerasTensor(spec.shape, spec.dtype), structure)
    (output,) = keras.tree.flatten(model.compute_output_spec(*symbolic))
    return tuple(output.shape)
