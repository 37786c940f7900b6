"""Canaries: the private names of Keras that `tfp_bnn._keras` uses still do what it uses them for."""

import keras

from tfp_bnn import _keras


def test_flatten_layers_has_nested_layers_once():
    # If it goes: walk `layer._layers`, or what stands for it, in `_keras.flatten_layers`.
    shared = keras.layers.Dense(2)
    inner = keras.Sequential([keras.Input((2,)), shared, shared.__class__(2)])
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.ReLU()])
    layers = _keras.flatten_layers(model)
    assert layers[0] is model
    assert len({id(layer) for layer in layers}) == len(layers)
    assert shared in layers


def test_each_compile_leaves_a_mark():
    # If it goes: take the identity of another object that each `compile` makes, such as `model.metrics[0]`.
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    assert _keras.last_compile(model) is None
    model.compile("sgd", "mse")
    first = _keras.last_compile(model)
    assert first is not None
    assert _keras.last_compile(model) is first
    model.compile(model.optimizer, model.loss)
    assert _keras.last_compile(model) is not first
