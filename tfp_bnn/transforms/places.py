"""Where the layers of an object are: in its attributes, in lists, tuples and dicts there, and in its graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from tfp_bnn import _keras
from tfp_bnn.layers import build_shapes

Layer = keras.layers.Layer
Path = tuple[Any, ...]


def paths_of_layers(owner: Any) -> Iterator[tuple[Path, Layer]]:
    """Yields where an object has layers, and the layers: first those of its graph, if its class makes one."""
    in_graph: set[int] = set()
    if _keras.makes_its_own_graph(owner):
        yield from _in_graph(owner, (), in_graph)
    for path, layer in _attributes(owner):
        if id(layer) in in_graph:
            continue
        if _shares(layer, in_graph):
            # Another model of the same layers: it is there when they are.
            yield from _in_graph(layer, path, in_graph)
        else:
            yield path, layer


def at(owner: Any, path: Sequence[Any]) -> Any:
    """Returns what is at a path in an object."""
    for step in path:
        owner = getattr(owner, step) if isinstance(owner, Layer) else owner[step]
    return owner


def put(owner: Any, path: Path, layer: Layer) -> None:
    """Puts a layer into an object, in place of the one that is there; in a graph, in all its calls."""
    before = at(owner, path)
    if not _is_in_a_graph(owner, path):
        if before is not layer:
            _keras.replace_layer(owner, before, layer)
        _put(owner, path, layer)
    elif before is not layer:
        _put_into_graphs(owner, before, layer)


def _put(owner: Any, path: Path, layer: Layer) -> None:
    *way, last = path
    holder = at(owner, way)
    if isinstance(holder, tuple):
        # Tuples do not change: the one that holds it is put in place of the tuple.
        before = at(owner, path)
        _set(at(owner, way[:-1]), way[-1], tuple(layer if each is before else each for each in holder))
    else:
        _set(holder, last, layer)


def _put_into_graphs(owner: keras.Model, before: Layer, layer: Layer) -> None:
    """Puts a layer into the calls of another one, and wherever else the owner, or what is inside, refers to that."""
    if not layer.built:
        build_shapes.run(layer, *_keras.first_call(before))
    holders = _keras.flatten_layers(owner)
    _keras.replace_in_graphs(owner, before, layer)
    for holder in holders:
        for path in [path for path, found in _attributes(holder) if found is before]:
            _put(holder, path, layer)


def _in_graph(model: keras.Model, path: Path, seen: set[int]) -> Iterator[tuple[Path, Layer]]:
    for number, layer in enumerate(model.layers):
        if id(layer) not in seen and not isinstance(layer, keras.layers.InputLayer):
            seen.add(id(layer))
            yield (*path, "layers", number), layer


def _shares(layer: Layer, in_graph: set[int]) -> bool:
    is_graph = _keras.is_functional(layer) and not _keras.makes_its_own_graph(layer)
    return is_graph and any(id(inside) in in_graph for inside in layer.layers)


def _is_in_a_graph(owner: Any, path: Path) -> bool:
    return path[-2:-1] == ("layers",) and _keras.is_functional(at(owner, path[:-2]))


def _attributes(owner: Any) -> Iterator[tuple[Path, Layer]]:
    """Yields the layers in an object's attributes, and lists, tuples and dicts in them, and where."""
    for name, value in vars(owner).items():
        if name not in _keras.STORES_OF_LAYER:
            yield from _paths_in(value, (name,))


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
