"""Layers built as their own first call builds them: by a run on symbolic inputs, which mostly computes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfp_bnn import _keras

Record = dict[str, Any]


def run(layer: keras.layers.Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Builds a layer, whatever it has inside, for arguments like these: arrays, tensors or symbolic ones."""
    # New tensors: those of a model that is being made must not learn of this call.
    args, kwargs = keras.tree.map_structure(_symbolic, (tuple(args), dict(kwargs)))
    with _keras.calls_forgotten(layer):
        try:
            layer(*args, **kwargs)
        except NotImplementedError:
            # What is inside of `TimeDistributed` must tell the shape of its outputs, or there must be numbers.
            args, kwargs = keras.tree.map_structure(_zeros, (args, kwargs))
            layer(*args, **kwargs)


def tensors(shapes: Any) -> Any:
    """Returns symbolic tensors of a shape, or of a structure of shapes.

    Example:

    >>> tensors((None, 3)).shape
    (None, 3)
    """
    return keras.tree.map_shape_structure(keras.KerasTensor, shapes)


def of_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Record:
    """Returns what of a call a file must hold, so that the layer can be built again."""
    kept = {name: _record(value) for name, value in kwargs.items()}
    named = {name: value for name, value in kept.items() if value is not None}
    return {"positional": [_record(value) for value in args], "named": named}


def of_config(config: Mapping[str, Any]) -> Record:
    """Returns the record of a call with the shapes that a layer was built for, as its build config has them."""
    if "called_with" in config:
        return config["called_with"]
    if "input_shape" in config:
        return of_call((tensors(config["input_shape"]),), {})
    shapes = {name.removesuffix("_shape"): shape for name, shape in config["shapes_dict"].items()}
    return of_call((), {name: tensors(shape) for name, shape in shapes.items() if shape is not None})


def arguments(record: Record) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns symbolic arguments like those of the recorded call."""
    named = {name: _recorded(value) for name, value in record["named"].items()}
    return tuple(_recorded(value) for value in record["positional"]), named


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _symbolic(value: Any) -> Any:
    if not _is_array(value):
        return value
    return keras.KerasTensor(tuple(value.shape), keras.backend.standardize_dtype(value.dtype))


def _zeros(value: Any) -> Any:
    if not isinstance(value, keras.KerasTensor):
        return value
    return keras.ops.zeros([1 if size is None else size for size in value.shape], value.dtype)


def _record(value: Any) -> Any:
    if _is_array(value):
        return {"shape": list(value.shape), "dtype": keras.backend.standardize_dtype(value.dtype)}
    if isinstance(value, Mapping):
        return {"named": {name: _record(each) for name, each in value.items()}}
    return [_record(each) for each in value] if isinstance(value, list | tuple) else None


def _recorded(value: Any) -> Any:
    if isinstance(value, dict):
        if "named" in value:
            return {name: _recorded(each) for name, each in value["named"].items()}
        return keras.KerasTensor(tuple(value["shape"]), value["dtype"])
    return [_recorded(each) for each in value] if isinstance(value, list) else None
