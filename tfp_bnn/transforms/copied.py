"""Copies of whole models with some layers replaced: what all transforms have in common."""

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tfp_bnn import _keras
from tfp_bnn._prior_sharing import kept_shared
from tfp_bnn.layers import build_shapes
from tfp_bnn.layers.base import VariationalLayer
from tfp_bnn.transforms import swapped

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
    copying = _Copying(replace)
    with kept_shared(), keras.saving.custom_object_scope(_classes_in(model)):
        copy = copying.copy(model)
    copying.finish()
    if model.compiled and not copy.compiled:
        _compile_like(model, copy)
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
        if _keras.is_functional(layer):
            return _of_its_class(layer, keras.models.clone_model(layer, clone_function=self.copy))
        if _is_filled(layer):
            return self._copied_holder(layer)
        new = self._replace(layer)
        if new is not None:
            self.replaced.append((layer, new))
            return new
        new = _anew(layer)
        self._left.append((layer, new))
        return new

    def _copied_holder(self, layer: Layer) -> Layer:
        """Returns a copy of a layer that is nothing but the layers in it, or of a subclassed model."""
        copy = _anew(layer, swapped.original_class(layer))
        self._fill(copy, layer)
        return copy

    def _fill(self, copy: Layer, layer: Layer) -> None:
        """Puts copies of the layers in a holder into one of its class, in place of those that this one has made."""
        _build_like(layer, copy)
        for path, inside in swapped.paths_of_layers(layer):
            there = _at_or_none(copy, path)
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

    def _put(self, inside: Layer, made: Layer, copy: Layer, path: swapped.Path) -> None:
        """Puts the copy of a layer into the copy of its holder, which has made one by itself there."""
        there = _at_or_none(copy, path)
        if there is None:
            raise ValueError(
                "A copy of a layer or model lacks a layer that this one has; is it there when the copy is built? "
                f"Received: {type(copy).__name__} {copy.name!r} without {'.'.join(map(str, path))}"
            )
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

        None if they are not alike: if some layers that were made are of other classes, or in other places too.
        """
        if made is there:
            return {}
        if type(made) is not type(there) or isinstance(made, VariationalLayer) or id(made) in self._kept:
            return None
        found = {id(made): there}
        if not is_holder(made):
            return found
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


def _of_its_class(graph: keras.Model, clone: keras.Model) -> keras.Model:
    """Returns the clone of a graph; warns if it is one of Keras's own class alone."""
    if not isinstance(clone, type(graph)):
        warnings.warn(
            "A copy of a model whose constructor makes its own graph is a plain Functional model: methods of its "
            "class, a `train_step` of its own too, are lost. A class that is made as Class(inputs, outputs) is kept. "
            f"Received: {type(graph).__name__} {graph.name!r}",
            stacklevel=2,
        )
    return clone


def _is_filled(layer: Layer) -> bool:
    """Returns whether a layer is copied by putting copies of layers into another one of its class."""
    return is_holder(layer) and not _keras.is_functional(layer)


def _copied_operation(operation: Any) -> Any:
    try:
        return type(operation).from_config(operation.get_config())
    except (NotImplementedError, TypeError, ValueError):
        # It has no weights: both models may have it.
        return operation


def _anew(layer: Layer, layer_class: type | None = None) -> Layer:
    """Returns a layer of a class that is made of another's config, not built."""
    layer_class = layer_class or type(layer)
    try:
        return layer_class.from_config(swapped.original_config(layer))
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            "A class of your own is copied by its `get_config` and `from_config`: write them, and try again. "
            f"Received: {layer_class.__name__} {layer.name!r}, {type(error).__name__}: {error}"
        ) from error


def _build_like(layer: Layer, copy: Layer) -> None:
    """Builds a copy for the inputs that the layer has seen."""
    if copy.built or not layer.built:
        return
    config = layer.get_build_config()
    if config:
        # Not by `build_from_config`: a class without a `build` has all that is inside of it built by a run alone.
        build_shapes.run(copy, *build_shapes.arguments(build_shapes.of_config(config)))


def _at_or_none(owner: Any, path: swapped.Path) -> Any:
    with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError):
        return swapped.at(owner, path)
    return None


def _compile_like(model: keras.Model, copy: keras.Model) -> None:
    try:
        copy.compile_from_config(model.get_compile_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        warnings.warn(
            f"The copy of {model.name!r} is not compiled, since how the model is compiled cannot be saved: {error}",
            stacklevel=4,
        )


def _classes_in(model: keras.Model) -> dict[str, type]:
    """Returns users' classes of layers in a model by name: copies within this process need no registration."""
    classes = {swapped.original_class(layer) for layer in _keras.flatten_layers(model)}
    own = [each for each in classes if not each.__module__.startswith(("keras.", "tfp_bnn."))]
    return {name: each for each in own for name in (each.__name__, keras.saving.get_registered_name(each))}
