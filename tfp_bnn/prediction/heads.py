"""The outputs of a model and their likelihoods: one, or several in a dict or a list."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras

from tfp_bnn._checks import check_type
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.objective.outputs import losses_of_outputs

Tensor = Any
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Heads:
    """The likelihoods of a model's outputs.

    Args:
        structure: of the outputs, with numbers 0, 1, ... in their places.
        likelihoods: of the outputs in this order; None for those that have none.
        names: of the outputs in this order.
    """

    structure: Any
    likelihoods: Sequence[Likelihood | None]
    names: Sequence[str]

    @property
    def is_one(self) -> bool:
        """Whether there is one output, alone or in a list: then no structure is made of it."""
        return len(self.likelihoods) == 1 and not isinstance(self.structure, dict)

    def each(self, make: Callable[[int, Likelihood], T]) -> list[T | None]:
        """Returns what a function makes of each output's number and likelihood; None of those without."""
        return [None if each is None else make(number, each) for number, each in enumerate(self.likelihoods)]

    def pack(self, of_outputs: Sequence[T]) -> Any:
        """Returns what belongs to the outputs in their structure."""
        if self.is_one:
            return of_outputs[0]
        return keras.tree.map_structure(lambda number: of_outputs[number], self.structure)

    def parts_of(self, name: str, values: Any) -> list[Any]:
        """Returns what each output has of targets or sample weights; None for those of which none are given.

        Args:
            name: of the argument.
            values: one for the one output; for several a dict by their names, or a list; None for none.

        Raises:
            ValueError: if they have another structure.
        """
        if values is None:
            return [None] * len(self.likelihoods)
        if isinstance(values, dict):
            self._check_names(name, values)
            return [values.get(each) for each in self.names]
        if self.is_one or (len(self.likelihoods) == 1 and not isinstance(values, list | tuple)):
            return [values]
        if isinstance(values, list | tuple) and len(values) == len(self.likelihoods):
            return list(values)
        raise ValueError(
            f"`{name}` must have a part for each output, in a dict by their names, {', '.join(map(repr, self.names))}, "
            f"or in a list. Received: {name}={type(values).__name__}"
        )

    def _check_names(self, name: str, values: dict[str, Any]) -> None:
        unknown = values.keys() - set(self.names)
        if unknown:
            raise ValueError(
                f"`{name}` has names that are none of the outputs, {', '.join(map(repr, self.names))}. "
                f"Received: {', '.join(map(repr, sorted(unknown)))}"
            )


def known_heads(model: keras.Model, likelihood: Any) -> Heads | None:
    """Returns the heads of a model that says what its outputs are before it is called, checked; None of another one.

    Raises:
        ValueError: as `heads_of` does, and if a head is seen not to be of its likelihood.
    """
    outputs = getattr(model, "outputs", None)
    if not isinstance(outputs, list):
        return None
    heads = heads_of(model, outputs[0] if isinstance(model, keras.Sequential) else model.output, likelihood)
    if len(heads.likelihoods) == 1:
        heads.likelihoods[0].check_model(model)
    else:
        check_outputs(heads, outputs)
    return heads


def check_outputs(heads: Heads, outputs: Sequence[Tensor]) -> None:
    """Raises ValueError if outputs are seen not to be what their likelihoods take."""
    for output, likelihood in zip(outputs, heads.likelihoods, strict=True):
        if likelihood is not None:
            likelihood.check_outputs(output)


def heads_of(model: keras.Model, outputs: Any, likelihood: Any) -> Heads:
    """Returns the heads of a model whose outputs are known.

    Args:
        model: the model, for the losses that it was compiled with.
        outputs: its outputs, symbolic ones, tensors or numbers, in their structure.
        likelihood: one, or a dict or list of them; None takes those that the model was compiled with.

    Raises:
        ValueError: if an output has neither likelihood nor None, or none has one.
    """
    flat = keras.tree.flatten(outputs)
    structure = keras.tree.pack_sequence_as(outputs, list(range(len(flat))))
    names = _names_of(model, structure, len(flat))
    given = getattr(model, "loss", None) if likelihood is None else likelihood
    found: list[Any] = [None] * len(flat)
    for number, loss in losses_of_outputs(structure, names, given):
        if loss is not None:
            found[number] = _checked(loss, likelihood is None)
    if not any(each is not None for each in found):
        raise _no_likelihood("None")
    return Heads(structure, found, names)


def _checked(loss: Any, is_compiled: bool) -> Likelihood:
    if not is_compiled:
        return check_type("likelihood", loss, Likelihood)
    if not isinstance(loss, Likelihood):
        raise _no_likelihood(_name_of_loss(loss))
    return loss


def _names_of(model: keras.Model, structure: Any, number: int) -> list[str]:
    if isinstance(structure, dict):
        return [name for name, _ in sorted(structure.items(), key=lambda item: item[1])]
    names = getattr(model, "output_names", None)
    return list(names) if names and len(names) == number else [f"output_{index}" for index in range(number)]


def _no_likelihood(loss: str) -> ValueError:
    return ValueError(
        "A prediction needs a likelihood: compile the model with one, such as "
        "model.compile(..., loss=tfp_bnn.likelihoods.Categorical()), or pass predict(..., likelihood=...); for several "
        f"outputs a dict or a list of them, None for those without. Received: a model with loss={loss}"
    )


def _name_of_loss(loss: Any) -> str:
    if isinstance(loss, keras.losses.Loss):
        return type(loss).__name__
    return getattr(loss, "__name__", repr(loss))
