"""Bayesian layers that are exported, and that are rematerialized."""

import sys
import types

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_jax_alone, on_tensorflow_alone
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N = 8
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
Y = np.zeros((N, 2), "float32")


def make_model(layer=None):
    layer = bnn.layers.DenseFlipout(2, kl_weight=1 / N) if layer is None else layer
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def recurrent_model():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Reshape((2, 2)),
            keras.layers.TimeDistributed(bnn.layers.DenseFlipout(2, kl_weight=1 / N)),
        ]
    )
    model.compile("sgd", "mse")
    return model


# Exports


def assert_works(model):
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()
    assert np.isfinite(model.evaluate(X, Y, verbose=0))
    first, second = (model.predict(X, verbose=0) for _ in range(2))
    assert np.abs(first - second).max() > 0


@on_tensorflow_alone
@pytest.mark.parametrize(("export_format", "file"), [("onnx", "model.onnx"), ("litert", "model.tflite")])
def test_a_format_that_cannot_draw_is_refused_before_anything_is_written(export_format, file, tmp_path):
    for model in (make_model(), recurrent_model()):
        model(X)
        with pytest.raises(ValueError, match=r"to_deterministic\(model\)\.export") as error:
            model.export(tmp_path / file, format=export_format, verbose=False)
        assert f"format={export_format!r}" in str(error.value)
    assert not list(tmp_path.iterdir())
    assert_works(make_model())


@on_jax_alone
def test_a_format_that_cannot_draw_is_refused_on_jax(monkeypatch, tmp_path):
    import jax

    def to_onnx(function, inputs, **kwargs):
        jax.eval_shape(function, jax.ShapeDtypeStruct((1, 4), inputs[0].dtype))

    converter = types.ModuleType("jax2onnx")
    converter.to_onnx = to_onnx
    monkeypatch.setitem(sys.modules, "jax2onnx", converter)
    model = make_model()
    model(X)
    with pytest.raises(ValueError, match=r"to_deterministic\(model\)\.export"):
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)


def test_a_converter_that_is_called_by_hand_is_refused():
    def convert(model):
        return model(X)

    convert = types.FunctionType(convert.__code__, {"__name__": "tf2onnx.convert", "X": X})
    with pytest.raises(ValueError, match="cannot be exported to tf2onnx"):
        convert(make_model())


def test_the_network_of_the_means_is_exported(tmp_path):
    model = make_model()
    model.fit(X, Y, verbose=0)
    point = bnn.to_deterministic(model)
    point.export(tmp_path / "model", verbose=False)
    import tensorflow as tf

    loaded = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.serve(X), point.predict(X, verbose=0), rtol=1e-5, atol=1e-6)


def test_a_saved_model_draws_at_each_call(tmp_path):
    import tensorflow as tf

    model = make_model()
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    outputs = np.stack([loaded.serve(X) for _ in range(400)])
    assert np.unique(outputs[:, 0, 0]).size == 400
    mean = bnn.to_deterministic(model).predict(X, verbose=0)
    errors = (outputs.mean(axis=0) - mean) / outputs.std(axis=0) * 20
    assert np.abs(errors).max() < 5


@on_tensorflow_alone
def test_what_a_conversion_removes_is_its_own():
    import tensorflow as tf
    from tensorflow.python.eager import context

    def functions_of(graph):
        return [function.signature.name for function in graph.as_graph_def().library.function]

    before = make_model()
    before.fit(X, Y, verbose=0)
    converted = tf.function(make_model(), autograph=False).get_concrete_function(tf.TensorSpec((None, 4)))
    # As tf2onnx does when the copy of the graph that it converted is collected.
    removed = [name for name in functions_of(converted.graph) if context.context().has_function(name)]
    assert removed
    for name in removed:
        context.context().remove_function(name)
    assert_works(make_model())
    before.fit(X[:5], Y[:5], verbose=0)  # another size, for which XLA compiles anew
    before.predict(X, verbose=0)


# Rematerialization


@pytest.mark.parametrize("make_layer", [bnn.layers.DenseFlipout, bnn.layers.DenseVariational])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_layer_made_in_a_remat_scope_trains_as_one_made_outside(make_layer, run_eagerly):
    def trained(scope):
        keras.utils.set_random_seed(1)
        with scope:
            layer = make_layer(2, kl_weight=1 / N, seed=3)
        model = make_model(layer)
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=run_eagerly)
        logged = model.fit(X, Y, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)]).history
        return [logged["kl"], *model.get_weights()]

    outside, inside = trained(keras.RematScope(None)), trained(keras.RematScope("full"))
    for expected, value in zip(outside, inside, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("run_eagerly", [True] if TENSORFLOW else [False, True])
def test_a_model_that_is_rematerialized_as_a_whole_is_refused(run_eagerly):
    # On TensorFlow, Keras itself refuses every such model in a compiled function.
    with keras.RematScope("full"):
        model = make_model()
    model.compile("sgd", "mse", run_eagerly=run_eagerly)
    with pytest.raises(Exception, match=r"outside of `keras.RematScope`"):
        model.fit(X, Y, verbose=0)


@on_jax_alone
def test_a_checkpoint_around_a_stateless_call_is_right():
    import jax

    model = make_model()
    state = [variable.value for variable in model.trainable_variables]
    rest = [variable.value for variable in model.non_trainable_variables]

    def kl(trainable):
        *_, losses = model.stateless_call(trainable, rest, X, return_losses=True)
        return sum(losses)

    value, gradients = jax.value_and_grad(jax.checkpoint(kl))(state)
    assert float(value) == pytest.approx(kl_of(model) / N, rel=1e-5)
    assert any(np.abs(gradient).max() > 0 for gradient in gradients)
