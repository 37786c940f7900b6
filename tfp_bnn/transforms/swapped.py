"""Layers of a user's own class, and subclassed models, with other layers in place of some that they made.

The code of such a class says which layers it makes; nothing but the object knows which ones were put there instead. So
the copy is an object of a class between: the user's in all that it does, but its config holds the new layers too.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from tfp_bnn.layers import build_shapes
from tfp_bnn.layers.plain import OF_EVERY_LAYER
from tfp_bnn.transforms import places

Layer = keras.layers.Layer
_NAME = ("tfp_bnn", "Swapped")


@keras.saving.register_keras_serializable(*_NAME)
class Swapped:
    """What a class gets beside its own methods: a config that holds the layers that were put into the object."""

    _swapped_paths: Sequence[places.Path] = ()

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
                {"path": list(path), "layer": keras.saving.serialize_keras_object(places.at(self, path))}
                for path in self._swapped_paths
            ],
            "frozen": [list(path) for path, layer in _made_by_itself(self) if not layer.trainable],
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
        if "frozen" in config:
            frozen = [tuple(path) for path in config["frozen"]]
            for path, layer in _made_by_itself(made):
                # Holders come first: they set this of all that is inside.
                if layer.trainable == (path in frozen):
                    layer.trainable = path not in frozen
        return made


def swap(owner: Any, path: places.Path, layer: Layer) -> None:
    """Puts a layer into an object, in place of the one that is there; the object's class knows of it from then on.

    The layer may be the one that is there, if it is not any more as the object made it.
    """
    places.put(owner, path, layer)
    if type(owner).__module__.startswith("keras.") or _is_in_config(owner, layer):
        return  # Its config has the layer: `TimeDistributed` and `Bidirectional` are such classes too.
    if not isinstance(owner, Swapped):
        owner.__class__ = _between(type(owner))
    owner._swapped_paths = (*owner._swapped_paths, path)


def _is_in_config(owner: Any, layer: Layer) -> bool:
    """Returns whether the config of an object's class has a layer: one that the constructor got."""
    made = [each for each in _dicts_in(original_config(owner)) if {"class_name", "config"} <= set(each)]
    return bool(made) and keras.saving.serialize_keras_object(layer) in made


def _dicts_in(config: Any) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict):
        yield config
    if isinstance(config, dict | list | tuple):
        for each in config.values() if isinstance(config, dict) else config:
            yield from _dicts_in(each)


def original_class(owner: Any) -> type:
    """Returns the user's class of an object."""
    return type(owner).__mro__[2] if isinstance(owner, Swapped) else type(owner)


def original_config(owner: Any) -> dict[str, Any]:
    """Returns the config of an object as the user's class gives it, less what its constructor does not take.

    Keras adds what every layer takes, and many a class of a user's has a constructor of no such arguments.
    """
    config = _config(owner)
    parameters = inspect.signature(original_class(owner).__init__).parameters.values()
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return config
    taken = {parameter.name for parameter in parameters}
    return {name: value for name, value in config.items() if name in taken or name not in OF_EVERY_LAYER}


def _config(owner: Any) -> dict[str, Any]:
    get_config = super(Swapped, owner).get_config if isinstance(owner, Swapped) else owner.get_config
    original = original_class(owner)
    if not isinstance(owner, keras.Model) or not original.get_config.__module__.startswith("keras."):
        return get_config()
    # Of a class of models Keras knows no arguments but their defaults. Most classes keep them under their names.
    try:
        config = get_config()
    except NotImplementedError:
        config = {"name": owner.name}
    taken = inspect.signature(original.__init__).parameters
    kept = {name: value for name, value in vars(owner).items() if name in taken and is_plain(value)}
    return {**config, **kept}


def is_plain(value: Any) -> bool:
    """Returns whether a value is a number, a word, None, or a tuple or list of such."""
    if isinstance(value, tuple | list):
        return all(is_plain(each) for each in value)
    return value is None or isinstance(value, str | int | float)


def _between(original: type) -> type:
    made = type(original.__name__, (Swapped, original), {"__module__": original.__module__})
    register = keras.saving.register_keras_serializable(*_NAME)
    register(made)
    # What files say is made by the class above, whichever was the last one in between.
    register(Swapped)
    return made


def _made_by_itself(
    owner: Any, path: places.Path = (), seen: frozenset[int] = frozenset()
) -> Iterator[tuple[places.Path, Layer]]:
    """Yields all layers, however deep inside, that an object has made by itself: files know of no more than its config.

    Not those that were put there, which have a config of their own.
    """
    put_there = getattr(owner, "_swapped_paths", ())
    for here, layer in places.paths_of_layers(owner):
        if here not in put_there and id(layer) not in seen:
            yield (*path, *here), layer
            yield from _made_by_itself(layer, (*path, *here), seen | {id(owner)})
