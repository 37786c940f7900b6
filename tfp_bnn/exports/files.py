"""The formats: each writes a network into a file."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from tfp_bnn import _keras
from tfp_bnn._extras import needed
from tfp_bnn.exports.network import Network

# The first with `BitwiseXor`, which random numbers need.
_OPSET = 18
_ENDPOINT, _SIGNATURE = "serve", "serving_default"


def check_installed(format: str) -> None:
    """Raises ImportError if a package is missing that writes a format."""
    with needed("export"):
        import tensorflow  # noqa: F401  Keras needs it for a SavedModel on all backends.

        if format == "onnx":
            import onnx  # noqa: F401
            import tf2onnx  # noqa: F401
        if format == "litert":
            import ai_edge_litert.interpreter  # noqa: F401


def write_saved_model(network: Network, model: keras.Model, path: str) -> None:
    """Writes a folder for TensorFlow, whose signature is `serving_default`."""
    archive = keras.export.ExportArchive()
    for layer in _keras.flatten_layers(model):
        # For lookup tables. Of variables only those are saved that the network reads: with fixed draws no posterior.
        if not layer.variables:
            archive.track(layer)
    options = {"is_static": True} if keras.backend.backend() == "jax" else {}
    archive.add_endpoint(_ENDPOINT, lambda *tensors: network(*tensors), network.signature, **options)
    archive.write_out(path, verbose=False)


def write_onnx(network: Network, model: keras.Model, path: str) -> None:
    """Writes a file for onnxruntime.

    Raises:
        ValueError: if the model has operations that ONNX does not have.
    """
    import onnx
    import tf2onnx

    stored = network.stored
    # The converter copies constants many times over: the stored weights are inputs to it, and constants of the file.
    function, signature = _traceable(network, stored)
    with _quiet("tf2onnx"):
        proto, _ = tf2onnx.convert.from_function(function, signature, opset=_OPSET)
    _make_constant(proto.graph, stored)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise _cannot_write("ONNX", str(error)) from error
    Path(path).write_bytes(proto.SerializeToString())


def write_litert(network: Network, model: keras.Model, path: str) -> None:
    """Writes a file for the LiteRT interpreter.

    Raises:
        ValueError: if the model has operations that LiteRT does not have, or the file says something else than it.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, _unrolled(model):
        write_saved_model(network, model, folder)
        _keep_activations(Path(folder, "saved_model.pb"))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        try:
            content = converter.convert()
        except Exception as error:
            raise _cannot_write("LiteRT", str(error).splitlines()[0]) from error
        _check_agrees(network, content)
    Path(path).write_bytes(content)


def _traceable(network: Network, stored: Mapping[str, np.ndarray] = MappingProxyType({})) -> tuple[Any, list[Any]]:
    """Returns the function of tensors for TensorFlow, and its signature; some stored weights may be among these."""
    import tensorflow as tf

    signature = [tf.TensorSpec(spec.shape, spec.dtype, spec.name) for spec in network.signature]
    number = len(signature)
    signature += [tf.TensorSpec(array.shape, array.dtype, name) for name, array in stored.items()]

    def call(*tensors: Any) -> dict[str, Any]:
        weights = dict(zip(stored, tensors[number:], strict=True))
        return network(*tensors[:number], stored=weights)

    return tf.function(call, input_signature=signature, autograph=False), signature


def _make_constant(graph: Any, stored: Mapping[str, np.ndarray]) -> None:
    """Makes constants of the inputs of an ONNX graph that are stored weights."""
    from onnx import numpy_helper

    arrays = {node.name: stored[node.name.split(":")[0]] for node in graph.input if node.name.split(":")[0] in stored}
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    kept = [node for node in graph.input if node.name not in arrays]
    del graph.input[:]
    graph.input.extend(kept)


def _keep_activations(path: Path) -> None:
    """Writes ReLUs as leaky ones that do not leak, in the graph of a SavedModel.

    The converter merges a ReLU into the product before it, and loses it where that is of drawn weights and no bias.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "Relu":
                    node.op = "LeakyRelu"
                    node.attr["alpha"].f = 0.0
    path.write_bytes(saved.SerializeToString())


@contextlib.contextmanager
def _unrolled(model: keras.Model) -> Iterator[None]:
    """Makes recurrent layers run without a loop within the scope: LiteRT has none of batches of any size."""
    layers = [layer for layer in _keras.flatten_layers(model) if isinstance(layer, keras.layers.RNN)]
    before = [layer.unroll for layer in layers]
    try:
        for layer in layers:
            layer.unroll = True
        yield
    finally:
        for layer, unroll in zip(layers, before, strict=True):
            layer.unroll = unroll


def _check_agrees(network: Network, content: bytes) -> None:
    """Raises ValueError if a LiteRT file says something else than the network: a converter has lost operations before.

    Of two inputs of random numbers; of integers, zeros and ones.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    rng = np.random.default_rng(0)

    def example(spec: keras.InputSpec) -> np.ndarray:
        shape = [2 if axis == 0 and size is None else size or 3 for axis, size in enumerate(spec.shape)]
        numbers = rng.normal(size=shape) if "float" in spec.dtype else rng.integers(0, 2, shape)
        return np.asarray(numbers, spec.dtype)

    inputs = {spec.name: example(spec) for spec in network.signature}
    function, _ = _traceable(network)
    expected = function(*map(tf.constant, inputs.values()))
    found = Interpreter(model_content=content).get_signature_runner(_SIGNATURE)(**inputs)
    for name, values in expected.items():
        if name != "decision" and not np.allclose(found[name], values, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise _cannot_write("LiteRT", f"a file with another {name}")


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keeps a package from logging less than errors within the scope."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _cannot_write(runtime: str, received: str) -> ValueError:
    return ValueError(
        f'{runtime} does not have all operations of this model: try draws="fixed", or another format. '
        f"Received: {received}"
    )
