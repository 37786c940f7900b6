"""Copies of whole models with some layers replaced: what all transforms have in common."""

import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tfp_bnn import _keras
from tfp_bnn._prior_sharing import kept_shared
from tfp_bnn.layers import build_shapes
from tfp_bnn.layers.base import VariationalLayer
from tfp_bnn.priors import Prior
from tfp_bnn.transforms import places, swapped
from tfp_bnn.transforms.compiled import compile_like

Layer = keras.layers.Layer
Replace = Callable[[Layer], Layer | None]

_HOLDERS = (keras.layers.TimeDistributed, keras.layers.Bidirectional)
_PLAIN_BASES = (keras.layers.Layer, keras.layers.Wrapper, keras.Model)


def copy_model(model: keras.Model, replace: Replace) -> tuple[keras.Model, list[tuple[Layer, Layer]]]:
    """Returns a copy of a model with some layers replaced, built and compiled as the model is, its weights the model's.

    Args:
        model: a built model; what is inside of it is copied too.
        replace: makes the layer, not built, that stands in for one of `replaceable_layers`; None leaves it as it is.

    Returns:
        The copy, and the layers that were replaced beside those that replace them, whose weights are still new.

    Raises:
        ValueError: if it is not a model or not built, or if a class of the user's cannot be copied.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {model!r}")
    if not model.built:
        raise ValueError(f"Expected a model that is built. Received: {model.name!r}, which has not seen an input")
    _check_in_one_place(model)
    copying = _Copying(replace)
    with kept_shared(), keras.saving.custom_object_scope(_classes_in(model)):
        copy = copying.copy(model)
        copying.finish()
        if copying.replaced and not _keras.is_functional(copy):
            # Code of the user's that reads weights which are not there says so now, not in `fit`.
            _run_like(model, copy)
        if model.compiled and not copy.compiled:
            compile_like(model, copy)
    return copy, copying.replaced


def replaceable_layers(layer: Layer) -> Iterator[Layer]:
    """Yields the layers that are copied or replaced as a whole, each once: Keras's, Bayesian ones, and users' own."""
    seen: set[int] = set()

    def walk(layer: Layer) -> Iterator[Layer]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if not is_holder(layer):
            yield layer
            return
        for inside in _keras.sublayers(layer):
            yield from walk(inside)

    yield from walk(layer)


def _check_in_one_place(model: keras.Model) -> None:
    """Raises ValueError if a layer inside of one that is copied as a whole is elsewhere too: its copy would be two."""
    places: dict[int, str] = {}
    for whole in replaceable_layers(model):
        for inside in _keras.flatten_layers(whole):
            if isinstance(inside, Prior) or not inside.weights:
                continue
            if id(inside) in places:
                raise ValueError(
                    "A layer that is used, or whose weights are read, inside of two others cannot be copied with them: "
                    "these would no longer share it. Where weights are tied, a layer of Keras's own can be converted, "
                    f"such as `ReversibleEmbedding`. Received: {inside.name!r} in {places[id(inside)]!r} and in "
                    f"{whole.name!r}"
                )
            places[id(inside)] = whole.name


def is_holder(layer: Layer) -> bool:
    """Returns whether a layer is nothing but the layers in it: a model, a wrapper, or a class of the user's.

    A class with trained weights of its own, or one that extends a layer of Keras, is more than that.
    """
    if isinstance(layer, keras.Model) or type(layer) in _HOLDERS:
        return True
    if isinstance(layer, VariationalLayer) or _keras.own_trainable_variables(layer):
        return False
    bases = swapped.original_class(layer).__mro__
    extends_keras = any(base.__module__.startswith("keras.src.layers.") for base in bases if base not in _PLAIN_BASES)
    return not extends_keras and any(inside.weights for inside in _keras.sublayers(layer))


class _Copying:
    """One copy of one model under way: what is shared in the model is shared in the copy."""

    def __init__(self, replace: Replace):
        self._replace = replace
        self._copies: dict[int, Any] = {}
        # Layers are told apart by their ids, which must not be those of others that are gone.
        self._alive: list[Any] = []
        self.replaced: list[tuple[Layer, Layer]] = []
        self._left: list[tuple[Layer, Layer]] = []
        # Those that the copies of their holders have made by themselves.
        self._kept: set[int] = set()

    def copy(self, layer: Any) -> Any:
        if id(layer) not in self._copies:
            self._copies[id(layer)] = self._copied(layer)
            self._alive.append(layer)
        return self._copies[id(layer)]

    def _copied(self, layer: Any) -> Any:
        if not isinstance(layer, Layer):
            return _copied_operation(layer)
        if _is_filled(layer) and (copy := _empty_copy(layer)) is not None:
            self._fill(copy, layer)
            return copy
        if _keras.is_functional(layer):
            return self._copied_graph(layer)
        new = self._replace(layer)
        if new is not None:
            self.replaced.append((layer, new))
            return new
        new = _anew(layer)
        self._left.append((layer, new))
        return new

    def _copied_graph(self, graph: keras.Model) -> keras.Model:
        with _keras.uncompiled(graph):
            copy = keras.models.clone_model(graph, clone_function=self.copy)
        if isinstance(copy, keras.Sequential) and not _keras.makes_its_own_graph(graph):
            # Keras makes plain ones, also of a class that adds nothing but methods.
            copy.__class__ = type(graph)
        _keras.set_trainable_alone(copy, graph.trainable)
        return copy

    def _fill(self, copy: Layer, layer: Layer) -> None:
        """Puts copies of the layers in a holder into one of its class, in place of those that this one has made."""
        _build_like(layer, copy)
        _check_same_places(layer, copy)
        for path, inside in places.paths_of_layers(layer):
            there = places.at(copy, path)
            if id(inside) not in self._copies and _is_filled(inside) and type(there) is swapped.original_class(inside):
                self._copies[id(inside)] = there
                self._alive.append(inside)
                self._kept.add(id(there))
                self._fill(there, inside)
                if any(isinstance(each, VariationalLayer | swapped.Swapped) for each in _keras.flatten_layers(there)):
                    swapped.swap(copy, path, there)
            elif (made := self.copy(inside)) is not there:
                self._put(inside, made, copy, path)
        for source, target in zip(_keras.own_variables(layer), _keras.own_variables(copy), strict=True):
            target.assign(source)
            target.trainable = source.trainable
        _copy_plain_attributes(layer, copy)
        _keras.set_trainable_alone(copy, layer.trainable)

    def _put(self, inside: Layer, made: Layer, copy: Layer, path: places.Path) -> None:
        """Puts the copy of a layer into the copy of its holder, which has made one by itself there."""
        there = places.at(copy, path)
        alike = self._counterparts(made, there)
        if alike is None:
            _build_like(inside, made)
            swapped.swap(copy, path, made)
            return
        _build_like(inside, there)
        self._kept |= {id(layer) for layer in alike.values()}
        self._copies = {key: alike.get(id(layer), layer) for key, layer in self._copies.items()}
        for pairs in (self.replaced, self._left):
            pairs[:] = [(old, alike.get(id(new), new)) for old, new in pairs]

    def _counterparts(self, made: Layer, there: Layer) -> dict[int, Layer] | None:
        """Returns which layer of one that is there stands for which of one that was made, by the ids of the latter.

        None if they are not alike: if some layers that were made are of other classes or arguments, or in other places
        too.
        """
        if made is there:
            return {}
        if type(made) is not type(there) or isinstance(made, VariationalLayer) or id(made) in self._kept:
            return None
        found = {id(made): there}
        if not is_holder(made):
            return found if _arguments(made.get_config()) == _arguments(there.get_config()) else None
        inside_made, inside_there = _keras.sublayers(made), _keras.sublayers(there)
        if len(inside_made) != len(inside_there):
            return None
        for pair in zip(inside_made, inside_there, strict=True):
            inside = self._counterparts(*pair)
            if inside is None:
                return None
            found |= inside
        for source, target in zip(_keras.own_variables(made), _keras.own_variables(there), strict=True):
            target.assign(source)
        return found

    def finish(self) -> None:
        """Copies the weights of what was left as it is, when all is built."""
        for layer, copy in self._left:
            if layer.weights:
                _build_like(layer, copy)
                copy.set_weights(layer.get_weights())
            for source, target in zip(_keras.seed_states(layer), _keras.seed_states(copy), strict=False):
                target.assign(source)
            for source, target in zip(_keras.flatten_layers(layer), _keras.flatten_layers(copy), strict=False):
                _copy_what_is_no_weight(source, target)


def _copy_what_is_no_weight(layer: Layer, copy: Layer) -> None:
    """Copies what layers know beside their weights and their configs."""
    if copy.trainable != layer.trainable:
        # The config does not say so of a layer that its holder's constructor makes.
        copy.trainable = layer.trainable
    if hasattr(copy, "save_assets"):
        # The words that a preprocessing layer has adapted to.
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            copy.load_assets(folder)
    if layer.weights and hasattr(copy, "finalize_state"):
        # What a preprocessing layer computes of its weights.
        copy.finalize_state()


def _is_filled(layer: Layer) -> bool:
    """Returns whether a layer is copied by putting copies of layers into another one of its class."""
    return is_holder(layer) and (not _keras.is_functional(layer) or _keras.makes_its_own_graph(layer))


def _empty_copy(layer: Layer) -> Layer | None:
    """Returns another object of a holder's class, as its constructor makes it; None, and a warning, where it cannot.

    Only graphs of Keras can do without their class.
    """
    if not _keras.makes_its_own_graph(layer):
        return _anew(layer)
    try:
        copy = _anew(layer)
        if len(copy.layers) != len(layer.layers):
            raise ValueError(f"another one made of its config has {len(copy.layers)} layers, not {len(layer.layers)}")
    except ValueError as error:
        warnings.warn(
            "A copy of a model whose class makes its own graph is a plain Keras model if its `get_config` and "
            "`from_config` do not make another one: methods of its class, a `train_step` of its own too, are lost. "
            f"Write these two, as for saving, and it stays an object of its class. Received: {error}",
            stacklevel=2,
        )
        return None
    return copy


def _copied_operation(operation: Any) -> Any:
    try:
        return type(operation).from_config(operation.get_config())
    except (NotImplementedError, TypeError, ValueError):
        # It has no weights: both models may have it.
        return operation


def _anew(layer: Layer) -> Layer:
    """Returns a layer that is made of another's config, not built, of the class that is the user's."""
    layer_class = swapped.original_class(layer)
    try:
        with _keras.functions_trusted():
            copy = layer_class.from_config(swapped.original_config(layer))
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            "A class of your own is copied by its `get_config` and `from_config`: write them, and try again. "
            f"Received: {layer_class.__name__} {layer.name!r}, {type(error).__name__}: {error}"
        ) from error
    _keras.copy_functions(layer, copy)
    return copy


def _build_like(layer: Layer, copy: Layer) -> None:
    """Builds a copy for the inputs that the layer has seen."""
    if layer.built and not copy.built:
        _run_like(layer, copy)


def _run_like(layer: Layer, copy: Layer) -> None:
    """Runs a copy on symbolic inputs like those that the layer has seen."""
    config = layer.get_build_config()
    if config:
        # Not by `build_from_config`: a class without a `build` has all that is inside of it built by a run alone.
        build_shapes.run(copy, *build_shapes.arguments(build_shapes.of_config(config)))


def _check_same_places(layer: Layer, copy: Layer) -> None:
    """Raises ValueError if two objects of a user's class do not have layers in the same places."""
    its, those_of_copy = ({path for path, _ in places.paths_of_layers(each)} for each in (layer, copy))
    differing = [".".join(map(str, path)) for path in its ^ those_of_copy]
    if differing:
        raise ValueError(
            "A copy of a layer or model does not have the layers that this one has. Are they there when it is built, "
            "and does `get_config` return what its constructor got? "
            f"Received: {type(copy).__name__} {layer.name!r}, different in {', '.join(sorted(differing))}"
        )


def _copy_plain_attributes(layer: Layer, copy: Layer) -> None:
    """Copies numbers, words and functions that are set on an object, which its config need not know."""
    for name, value in vars(layer).items():
        is_plain = swapped.is_plain(value) or isinstance(value, types.FunctionType)
        if not name.startswith("_") and is_plain and vars(copy).get(name, copy) != value:
            setattr(copy, name, value)


def _arguments(config: Any) -> Any:
    """Returns a config without what two layers of the same arguments differ in."""
    if isinstance(config, dict):
        return {key: _arguments(value) for key, value in config.items() if key not in ("name", "trainable")}
    return [_arguments(each) for each in config] if isinstance(config, list | tuple) else config


def _classes_in(model: keras.Model) -> dict[str, type]:
    """Returns users' classes of layers in a model by name: copies within this process need no registration."""
    classes = {swapped.original_class(layer) for layer in _keras.flatten_layers(model)}
    own = [each for each in classes if not each.__module__.startswith(("keras.", "tfp_bnn."))]
    return {name: each for each in own for name in (each.__name__, keras.saving.get_registered_name(each))}
