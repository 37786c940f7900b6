"""With its posterior's standard deviation at 0 a layer is the Keras layer of the same arguments.

Hypothesis draws arguments and shapes of inputs, some that Keras takes and some that it refuses. Compared is all that
can be seen: errors, output shapes and dtypes, outputs, and the gradient of a loss in inputs, kernel and bias.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, numpy, with_gradient, with_variables
from tfp_bnn.testing.case import set_posterior, zero_stddev
from tfp_bnn.testing.oracles import read

# On JAX each new shape is compiled, and arguments are refused before anything is computed.
TAKEN_EXAMPLES = 16 if TENSORFLOW else 3
REFUSED_EXAMPLES = 40 if TENSORFLOW else 8
SHAPE_EXAMPLES = 20

COMMON = settings(derandomize=True, deadline=None, database=None)
WRONG_SIZES = (-1, 0, 2.5, None, "3")

LAYERS = [getattr(bnn.layers, name) for name in ("Dense", "Conv1D", "Conv2D", "Conv3D", "DenseVariational")]
every_layer = pytest.mark.parametrize("layer_class", LAYERS, ids=lambda layer_class: layer_class.__name__)


@dataclasses.dataclass(frozen=True)
class Example:
    """Arguments of a Keras layer, shapes to build it for and to call it, estimator, and whether the bias is random."""

    arguments: dict[str, Any]
    estimator: str | None
    random_bias: bool
    built_shape: tuple[int, ...]
    called_shape: tuple[int, ...]

    def make(self, layer_class):
        posterior = bnn.posteriors.MeanFieldNormal(mean_initializer="zeros")
        own = {"bias_posterior": posterior} if self.random_bias else {}
        if self.estimator is not None:
            own["estimator"] = self.estimator
        return layer_class(**self.arguments, posterior=posterior, **own)

    def make_keras(self, layer_class):
        # Of each shape JAX would compile a random initializer.
        return getattr(keras.layers, layer_class.__name__.removesuffix("Variational"))(
            **self.arguments, kernel_initializer="zeros"
        )

    def inputs(self):
        return np.random.default_rng(0).normal(size=self.called_shape).astype("float32")


# What is drawn.


@st.composite
def taken(draw, layer_class):
    """Arguments and a shape that Keras takes."""
    rank = rank_of(layer_class)
    arguments, shape = draw(convolutions(rank) if rank else dense())
    arguments |= {
        "activation": draw(st.sampled_from([None, "relu", "tanh", "softmax"])),
        "use_bias": draw(st.booleans()),
    }
    linear = issubclass(layer_class, bnn.layers.LinearVariationalLayer)
    estimator = draw(st.sampled_from(bnn.estimators.NAMES)) if linear else None
    random_bias = linear and arguments["use_bias"] and draw(st.booleans())
    return Example(arguments, estimator, random_bias, shape, shape)


@st.composite
def dense(draw):
    return {"units": draw(st.integers(1, 4))}, draw(st.tuples(*[extents(3)] * draw(st.integers(1, 3)), extents(4)))


@st.composite
def convolutions(draw, rank):
    # Hypothesis tries the first of all choices together at once: a dilated convolution in groups.
    per_axis = st.sampled_from([2, 1] if rank == 3 else [2, 1, 3])
    padding = draw(st.sampled_from(["causal", "valid", "same"] if rank == 1 else ["valid", "same"]))
    # Keras does not take strides and dilation together.
    strided = draw(st.booleans())
    sizes = {
        "kernel_size": draw(scalar_or_tuple(per_axis, rank)),
        "strides": draw(scalar_or_tuple(per_axis, rank)) if strided else 1,
        "dilation_rate": 1 if strided else draw(scalar_or_tuple(st.sampled_from([2, 1]), rank)),
    }
    kernel, dilation = (np.broadcast_to(sizes[name], rank) for name in ("kernel_size", "dilation_rate"))
    smallest = 1 + dilation * (kernel - 1) if padding == "valid" else np.ones(rank, int)
    largest = 4 if rank == 3 else 6
    space = [draw(st.integers(int(extent), max(largest, int(extent)))) for extent in smallest]
    groups = draw(st.sampled_from([2, 1]))
    channels = groups * draw(st.integers(1, 4 // groups))
    # TensorFlow's CPU kernels have no channels-first convolutions.
    data_format = draw(st.sampled_from([None, "channels_last"] + ([] if TENSORFLOW else ["channels_first"])))
    arguments = {
        "filters": groups * draw(st.integers(1, 2)),
        **sizes,
        "padding": padding,
        "data_format": data_format,
        "groups": groups,
    }
    channels_and_space = (channels, *space) if data_format == "channels_first" else (*space, channels)
    return arguments, (draw(extents(3)), *channels_and_space)


@st.composite
def perhaps_refused(draw, layer_class):
    """Arguments and shapes of which one or two were changed at random: Keras refuses most of them."""
    rank = rank_of(layer_class)
    drawn = draw(taken(layer_class))
    changes = {
        **(changed_convolution(rank) if rank else {"units": st.sampled_from(WRONG_SIZES)}),
        "activation": st.just("no such activation"),
        "built_shape": changed_shape(drawn.built_shape),
        "called_shape": changed_shape(drawn.called_shape),
    }
    names = draw(st.lists(st.sampled_from(sorted(changes)), min_size=1, max_size=2, unique=True))
    changed = {name: draw(changes[name]) for name in names}
    shapes = {name: changed.pop(name) for name in ("built_shape", "called_shape") if name in changed}
    if set(shapes) == {"built_shape"}:
        shapes["called_shape"] = shapes["built_shape"]
    return dataclasses.replace(drawn, arguments=drawn.arguments | changed, **shapes)


def changed_convolution(rank):
    ones = (1,) * (rank - 1)
    per_axis = st.sampled_from([-1, 0, 1, 2, 7, (-1, *ones), (0, *ones), (2, *ones), (7, *ones), (1, 1, *ones), None])
    return {
        "filters": st.sampled_from([*WRONG_SIZES, 1, 3]),
        "kernel_size": per_axis,
        "strides": per_axis,
        "dilation_rate": per_axis,
        "padding": st.sampled_from(["valid", "causal", "full", "SAME"]),
        "data_format": st.just("channels_middle"),
        "groups": st.sampled_from([-1, 0, 2, 3, 4]),
    }


@st.composite
def changed_shape(draw, shape):
    """The shape with an axis more or less, or with another extent of one axis."""
    axis = draw(st.integers(1, len(shape) - 1))
    before, after = shape[:axis], shape[axis + 1 :]
    other_extents = [(extent,) for extent in (shape[axis] - 1, shape[axis] + 1) if extent > 0]
    return before + draw(st.sampled_from([(), (*shape[axis : axis + 1], 2), *other_extents])) + after


def extents(largest):
    return st.integers(1, largest)


def scalar_or_tuple(numbers, rank):
    return numbers | st.tuples(*[numbers] * rank)


def rank_of(layer_class):
    """How many axes of space a layer has: 0 if it is dense."""
    return getattr(layer_class, "rank", 0)


# What is compared.


def attempt(make_layer, drawn):
    """Returns the layer and its outputs, or the error that Keras or the layer raised on the way to them."""
    try:
        layer = make_layer()
        layer.build(drawn.built_shape)
        layer.compute_output_shape(drawn.built_shape)
        return layer, run(lambda inputs: layer(inputs), [], drawn.inputs())
    except Exception as error:
        return error, None


def run(function, variables, *args):
    """Returns what a function that reads these variables gives: at once on TensorFlow, compiled on JAX."""
    args = [keras.ops.convert_to_tensor(arg) for arg in args]
    return function(*args) if TENSORFLOW else with_variables(function, variables)(*args)


def outputs_and_gradient(layer, variables, inputs):
    """Returns the outputs, and a loss followed by its gradient in the inputs and in these variables."""
    shape = layer.compute_output_shape(inputs.shape)
    shares = np.random.default_rng(2).normal(size=shape).astype("float32")
    # The gradient of `sum(zeros * outputs)` in the zeros is the outputs: one forward pass gives all.
    inputs, zeros = keras.Variable(inputs), keras.Variable(np.zeros(shape, "float32"))

    def loss():
        outputs = layer(keras.ops.convert_to_tensor(inputs))
        assert tuple(outputs.shape) == shape
        assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
        return keras.ops.sum(keras.ops.tanh(outputs) * shares + outputs * keras.ops.convert_to_tensor(zeros))

    held = [zeros, inputs, *variables]
    values = numpy(run(with_gradient(loss, held), held))
    outputs, gradient = np.split(values[1:], [math.prod(shape)])
    return outputs.reshape(shape), np.concatenate([values[:1], gradient])


def without_noise(layer):
    """Gives a layer random means and standard deviation 0; returns the variables, flat the kernel and then the bias."""
    rng = np.random.default_rng(1)
    variables = [variables.mean for variables, _ in layer.random_weights.values()]
    if getattr(layer, "bias", None) is not None:
        variables.append(layer.bias)
    for variable in variables:
        variable.assign(rng.normal(size=variable.shape))
    set_posterior(layer, zero_stddev(layer))
    return variables


def set_flat(layer, values):
    """Sets the weights of a Keras layer from one vector."""
    assert sum(math.prod(weight.shape) for weight in layer.weights) == len(values)
    parts = np.split(values, np.cumsum([math.prod(weight.shape) for weight in layer.weights])[:-1])
    layer.set_weights([part.reshape(weight.shape) for part, weight in zip(parts, layer.weights, strict=True)])


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# The properties.


@every_layer
@settings(COMMON, max_examples=TAKEN_EXAMPLES)
@given(st.data())
def test_without_noise_outputs_and_gradients_are_those_of_keras(layer_class, data):
    drawn = data.draw(taken(layer_class))
    layer, reference, inputs = drawn.make(layer_class), drawn.make_keras(layer_class), drawn.inputs()
    for built in (layer, reference):
        built.build(inputs.shape)
    variables = without_noise(layer)
    set_flat(reference, np.concatenate([numpy(variable).ravel() for variable in variables]))

    outputs, gradient = outputs_and_gradient(layer, variables, inputs)
    expected, expected_gradient = outputs_and_gradient(reference, reference.weights, inputs)
    assert outputs.shape == expected.shape
    assert_close(outputs, expected)
    assert_close(gradient, expected_gradient)
    means = {name: posterior.mean for name, posterior in read(layer).items()}
    assert_close(numpy(run(lambda x: layer.outputs_at(x, means), [], inputs)), expected)


@every_layer
@settings(COMMON, max_examples=SHAPE_EXAMPLES)
@given(st.data())
def test_output_shapes_are_those_of_keras_with_unknown_extents_too(layer_class, data):
    drawn = data.draw(taken(layer_class))
    shape = data.draw(st.tuples(*[st.sampled_from([None, extent]) for extent in drawn.built_shape]))
    assert drawn.make(layer_class).compute_output_shape(shape) == drawn.make_keras(layer_class).compute_output_shape(
        shape
    )


@every_layer
@settings(COMMON, max_examples=REFUSED_EXAMPLES)
@given(st.data())
def test_a_layer_refuses_what_keras_refuses_and_nothing_else(layer_class, data):
    drawn = data.draw(perhaps_refused(layer_class))
    rank = rank_of(layer_class)
    expected, expected_outputs = attempt(lambda: drawn.make_keras(layer_class), drawn)
    layer, outputs = attempt(lambda: drawn.make(layer_class), drawn)
    event(f"Keras {'refuses' if isinstance(expected, Exception) else 'takes'} it")
    # Keras's convolutions are built for `rank + 2` axes only; on TensorFlow they can be called with more, ours cannot.
    if isinstance(expected, Exception) or (rank and len(drawn.called_shape) != rank + 2):
        assert isinstance(layer, ValueError), f"the layer: {layer!r}, Keras: {expected!r}"
    else:
        assert not isinstance(layer, Exception), repr(layer)
        assert outputs.shape == expected_outputs.shape


@every_layer
def test_integers_give_what_the_same_numbers_give_as_floats(layer_class):
    rank = rank_of(layer_class)
    layer = layer_class(2, 1) if rank else layer_class(2)
    inputs = np.arange(12, dtype="float32").reshape(3, *[1] * rank, 4)
    layer.build(inputs.shape)
    without_noise(layer)
    outputs, expected = run(lambda *both: [layer(x) for x in both], [], inputs.astype("int32"), inputs)
    assert_close(numpy(outputs), numpy(expected))
