"""Several trained models as one posterior with several modes: each draw is of one of them, in turn."""

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn.prediction import draws
from tfp_bnn.prediction.heads import known_heads

Tensor = Any


class HasMembers:
    """A model whose draws are those of its members."""

    members: Sequence[keras.Model]


def members_of(model: Any) -> list[keras.Model]:
    """Returns the models that a prediction draws from: those of a list or of an ensemble, or the one model.

    Raises:
        ValueError: if there is none, or one is no Keras model.
    """
    if isinstance(model, list | tuple):
        if not model:
            raise ValueError("A prediction needs at least one model. Received: an empty list")
        return [member for each in model for member in members_of(each)]
    if isinstance(model, HasMembers):
        return list(model.members)
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a Keras model, or a list of them. Received: {type(model).__name__}")
    return [model]


class Mixture:
    """Models with equal shares in a posterior.

    Args:
        models: the members.
        likelihood: see `heads.heads_of`.

    Raises:
        ValueError: if the members are seen to differ in outputs or likelihoods.
    """

    def __init__(self, models: Sequence[keras.Model], likelihood: Any):
        self._models = models
        self.first = models[0]
        self.heads = known_heads(self.first, likelihood)
        for model in models[1:]:
            self._check_alike(model, likelihood)

    def _check_alike(self, model: keras.Model, likelihood: Any) -> None:
        if likelihood is None and _described(_loss(model)) != _described(_loss(self.first)):
            raise ValueError(
                "The models of a mixture must have one likelihood: compile them alike, or pass likelihood=... . "
                f"Received: {self.first.name!r} and {model.name!r} with different losses"
            )
        heads = known_heads(model, likelihood)
        if None not in (heads, self.heads) and heads.structure != self.heads.structure:
            raise _unlike(self.first, model)

    def seeds(self, inputs: Any, num_draws: int, seed: int | None) -> np.ndarray:
        """Returns the member of each draw and, behind it, its seed: [draws, 3]; see `draws.seeds_of_draws`.

        Raises:
            ValueError: if there are fewer draws than members.
        """
        if num_draws < len(self._models):
            raise ValueError(
                f"Each of {len(self._models)} models needs a draw at least. Received: num_draws={num_draws}"
            )
        # In turn, so that each part of the draws has all members, as far as it can.
        members = np.arange(num_draws) % len(self._models)
        seed = random.getrandbits(31) if seed is None else seed
        of_all = np.stack([draws.seeds_of_draws(model, inputs, num_draws, seed) for model in self._models])
        chosen = of_all[members, np.arange(num_draws)]
        return np.concatenate([members[:, np.newaxis].astype("int32"), chosen], axis=1)

    def draw(self, inputs: Any, seeds: np.ndarray, check: draws.Check) -> draws.DrawnOutputs:
        """Returns the outputs of networks drawn with some of the seeds, in their order."""
        members = seeds[:, 0]
        if (members == members[0]).all():
            return draws.draw_outputs(self._models[members[0]], inputs, seeds[:, 1:], check)
        places = [np.flatnonzero(members == member) for member in np.unique(members)]
        parts = [draws.draw_outputs(self._models[members[at[0]]], inputs, seeds[at, 1:], check) for at in places]
        order = np.argsort(np.concatenate(places))
        for part in parts[1:]:
            if part.structure != parts[0].structure or _shapes(part) != _shapes(parts[0]):
                raise _unlike(*self._models[:2])
        outputs = [np.concatenate(each)[order] for each in zip(*(part.outputs for part in parts), strict=True)]
        return draws.DrawnOutputs(parts[0].structure, outputs, parts[0].masks)


def _loss(model: keras.Model) -> Any:
    return getattr(model, "loss", None)


def _described(loss: Any) -> Any:
    # A dict or a list has parts; equal objects have equal configurations.
    def describe(each: Any) -> Any:
        return keras.saving.serialize_keras_object(each) if isinstance(each, keras.losses.Loss) else each

    return keras.tree.map_structure(describe, loss)


def _shapes(drawn: draws.DrawnOutputs) -> list[tuple[int, ...]]:
    return [output.shape[1:] for output in drawn.outputs]


def _unlike(first: keras.Model, other: keras.Model) -> ValueError:
    return ValueError(
        "The models of a mixture must have the same outputs. "
        f"Received: {first.name!r} and {other.name!r}, whose outputs differ in structure or shape"
    )
