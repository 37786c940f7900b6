"""Layers of a user's own class, and subclassed models, with other layers in place of some that they made.

The code of such a class says which layers it makes; nothing but the object knows which ones were put there instead. So
the copy is an object of a class between: the user's in all that it does, but its config holds the new layers too.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from tfp_bnn import _keras
from tfp_bnn.layers import build_shapes
from tfp_bnn.layers.plain import OF_EVERY_LAYER

Layer = keras.layers.Layer
Path = tuple[Any, ...]

_NAME = ("tfp_bnn", "Swapped")


@keras.saving.register_keras_serializable(*_NAME)
class Swapped:
    """What a class gets beside its own methods: a config that holds the layers that were put into the object."""

    _swapped_paths: Sequence[Path] = ()

    def get_config(self) -> dict[str, Any]:
        """Returns the config of the user's class, the shapes that it was built for, and the layers put into it."""
        original = original_class(self)
        return {
            "original": {
                "module": original.__module__,
                "class_name": original.__name__,
                "registered_name": keras.saving.get_registered_name(original),
                "config": original_config(self),
            },
            "built_for": self.get_build_config(),
            "layers": [
                {"path": list(path), "layer": keras.saving.serialize_keras_object(at(self, path))}
                for path in self._swapped_paths
            ],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Makes an object of the user's class and puts the layers into it."""
        made = keras.saving.deserialize_keras_object(config["original"])
        # Some layers are there only when it is built.
        if config["built_for"] and not made.built:
            build_shapes.run(made, *build_shapes.arguments(build_shapes.of_config(config["built_for"])))
        for each in config["layers"]:
            swap(made, tuple(each["path"]), keras.saving.deserialize_keras_object(each["layer"]))
        return made


def swap(owner: Any, path: Path, layer: Layer) -> None:
    """Puts a layer into an object, in place of the one that is there; the object's class knows of it from then on.

    The layer may be the one that is there, if it is not any more as the object made it.
    """
    before = at(owner, path)
    if before is not layer:
        _keras.replace_layer(owner, before, layer)
    *way, last = path
    holder = at(owner, way)
    if isinstance(holder, tuple):
        # Tuples do not change: the one that holds it is put in place of the tuple.
        _set(at(owner, way[:-1]), way[-1], tuple(layer if each is before else each for each in holder))
    else:
        _set(holder, last, layer)
    if type(owner).__module__.startswith("keras.") or (isinstance(owner, keras.layers.Wrapper) and path == ("layer",)):
        return  # Wrappers, `TimeDistributed` and `Bidirectional` too, have the layers that they hold in their config.
    if not isinstance(owner, Swapped):
        owner.__class__ = _between(type(owner))
    owner._swapped_paths = (*owner._swapped_paths, path)


def original_class(owner: Any) -> type:
    """Returns the user's class of an object."""
    return type(owner).__mro__[2] if isinstance(owner, Swapped) else type(owner)


def original_config(owner: Any) -> dict[str, Any]:
    """Returns the config of an object as the user's class gives it, less what its constructor does not take.

    Keras adds what every layer takes, and many a class of a user's has a constructor of no such arguments.
    """
    config = super(Swapped, owner).get_config() if isinstance(owner, Swapped) else owner.get_config()
    parameters = inspect.signature(original_class(owner).__init__).parameters.values()
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return config
    taken = {parameter.name for parameter in parameters}
    return {name: value for name, value in config.items() if name in taken or name not in OF_EVERY_LAYER}


def _between(original: type) -> type:
    made = type(original.__name__, (Swapped, original), {"__module__": original.__module__})
    register = keras.saving.register_keras_serializable(*_NAME)
    register(made)
    # What files say is made by the class above, whichever was the last one in between.
    register(Swapped)
    return made


# Where layers are in an object.


def paths_of_layers(owner: Any) -> Iterator[tuple[Path, Layer]]:
    """Yields where the layers of an object are, its attributes, and lists, tuples and dicts in them, and the layers."""
    for name, value in vars(owner).items():
        if name not in _keras.STORES_OF_LAYER:
            yield from _paths_in(value, (name,))


def at(owner: Any, path: Sequence[Any]) -> Any:
    """Returns what is at a path in an object."""
    for step in path:
        owner = getattr(owner, step) if isinstance(owner, Layer) else owner[step]
    return owner


def _paths_in(value: Any, path: Path) -> Iterator[tuple[Path, Layer]]:
    if isinstance(value, Layer):
        yield path, value
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _paths_in(each, (*path, number))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _paths_in(each, (*path, key))


def _set(holder: Any, step: Any, value: Any) -> None:
    if isinstance(holder, Layer):
        setattr(holder, step, value)
    else:
        holder[step] = value
