"""What a function compiled from a model has fixed: everything of its layers but the values of their variables."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from tfp_bnn import _keras

_PLAIN = frozenset({bool, int, float, str, type(None)})
# What is in a longer list, such as a vocabulary, is not looked at.
_LONGEST_CONTAINER = 100
_MISSING = object()

Change = tuple[Any, str]


class Fingerprint:
    """What must stay as it is, for a function that was compiled from a model to be that model still.

    The layers in their order, their public attributes (plain values by equality, all else by identity, of lists and
    dicts also what is in them), their dtype policies, the variables by identity, and the last `compile` and its
    `jit_compile`. What changes in a private attribute or outside the model is not seen; `compile` is the way to say
    so, as it is for `model.predict`.

    It takes some microseconds a layer. All it compares with is held, so that nothing else takes its place in memory.

    Args:
        model: the model as it is now.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    >>> before = Fingerprint(model)
    >>> model.layers[0].rate = 0.1
    >>> [name for _, name in before.changes()]
    ['rate']
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._compile = _keras.last_compile(model)
        self._jit_compile = model.jit_compile
        self.variables = model.variables
        self._layers = _keras.flatten_layers(model)
        self._dtype_policies = [layer.dtype_policy for layer in self._layers]
        # In the layers' own dicts, which are there as long as they are, as one list: to compare has to be quick.
        self._values = [
            (attributes, name, value, number)
            for number, (layer, attributes) in enumerate(self._with_attributes())
            for name, value in attributes.items()
            if _counts(name, layer)
        ]
        self._containers = [
            (container, _items(container), name, number)
            for _, name, container, number in self._values
            if isinstance(container, dict | list) and len(container) <= _LONGEST_CONTAINER
        ]
        self._sizes = [len(attributes) for _, attributes in self._with_attributes()]

    def _with_attributes(self) -> Iterator[tuple[keras.layers.Layer, dict[str, Any]]]:
        return ((layer, vars(layer)) for layer in self._layers)

    def changes(self) -> set[Change]:
        """Returns what has changed since: names, with the number of their layer or None for the model as a whole."""
        model = self._model
        whole = {
            "compile": _keras.last_compile(model) is self._compile,
            "jit_compile": model.jit_compile == self._jit_compile,
            "variables": _ids(model.variables) == _ids(self.variables),
            "layers": _ids(_keras.flatten_layers(model)) == _ids(self._layers),
        }
        changes: set[Change] = {(None, name) for name, same in whole.items() if not same}
        for attributes, name, value, number in self._values:
            if attributes.get(name, _MISSING) is not value and not _equal(attributes.get(name, _MISSING), value):
                changes.add((number, name))
        for container, items, name, number in self._containers:
            if _ids(_items(container)) != _ids(items):
                changes.add((number, name))
        for number, (layer, policy) in enumerate(zip(self._layers, self._dtype_policies, strict=True)):
            if layer.dtype_policy is not policy and layer.dtype_policy.name != policy.name:
                changes.add((number, "dtype_policy"))
        return changes | self._additions()

    def _additions(self) -> set[Change]:
        sizes = [len(attributes) for _, attributes in self._with_attributes()]
        if sizes == self._sizes:
            return set()
        known = {(number, name) for _, name, _, number in self._values}
        additions = {
            (number, name)
            for number, (layer, attributes) in enumerate(self._with_attributes())
            for name in attributes
            if _counts(name, layer) and (number, name) not in known
        }
        if not additions:
            self._sizes = sizes
        return additions


def _counts(name: str, layer: keras.layers.Layer) -> bool:
    return name[0] != "_" and name not in _of_keras(isinstance(layer, keras.Model))


@functools.cache
def _of_keras(of_models: bool) -> frozenset[str]:
    """Returns the attributes that Keras sets in each layer or model for its own use, its trainers' in fits included.

    Not made at import: the first layer of a process fixes the default dtype.
    """
    if not of_models:
        return frozenset(vars(keras.layers.Layer(name="any")))
    stops = {f"stop_{action}" for action in ("training", "evaluating", "predicting")}
    return frozenset({*vars(keras.Sequential(name="any")), "compute_loss", "history", "optimizer", *stops})


def _ids(things: Iterable[Any]) -> list[int]:
    return list(map(id, things))


def _items(container: dict | list) -> list[Any]:
    return list(container.values()) if isinstance(container, dict) else list(container)


def _equal(value: Any, other: Any) -> bool:
    return type(value) is type(other) and type(value) in _PLAIN and value == other
