"""The compiled draws of a model: they end when the model is another one, and not before."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW
from tfp_bnn import _backend, layers, likelihoods

NORMAL = likelihoods.Normal(scale=1.0)
CERTAIN = bnn.posteriors.MeanFieldNormal(1e-6, mean_initializer="ones")
X = np.array([[-1.0, 0.5], [2.0, -3.0], [0.1, 0.2]], "float32")


def dense(units=1, activation=None, **kwargs):
    return layers.DenseFlipout(units, activation, use_bias=False, posterior=CERTAIN, **kwargs)


def sequential(*more):
    return keras.Sequential([keras.Input((2,)), *more])


def predict(model):
    return bnn.predict(model, X, 2, likelihood=NORMAL, seed=1, verbose=False).outputs[0]


def check(model):
    """What is predicted is what the model says now; all posteriors are next to certain."""
    np.testing.assert_allclose(predict(model), keras.ops.convert_to_numpy(model(X)), rtol=1e-3, atol=1e-3)


@pytest.fixture
def compilations(monkeypatch):
    """The draws that were compiled so far."""
    made = []
    compile_draws = _backend.compile_draws
    monkeypatch.setattr(_backend, "compile_draws", lambda *args: made.append(args) or compile_draws(*args))
    return made


def swap_head(model):
    model.pop()
    model.add(dense(3))


def set_activation(model):
    model.layers[0].activation = keras.activations.relu


def compile_anew(model):
    model.compile(loss=NORMAL, jit_compile=not model.jit_compile)


def set_rate(model):
    model.layers[1].negative_slope = 0.7


def set_dtype_policy(model):
    model.layers[0].dtype_policy = "mixed_bfloat16"


@pytest.mark.parametrize("change", [swap_head, set_activation, compile_anew, set_rate, set_dtype_policy])
def test_a_changed_model_is_compiled_anew(change, compilations):
    model = sequential(dense(), keras.layers.LeakyReLU(0.2))
    check(model)
    change(model)
    check(model)
    assert len(compilations) == 2


class Network(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = dense(2)
        self.head = dense(1)
        # Keras lets no new layer into a built model.
        self.other_head = dense(1, "tanh")
        self.other_head.build((None, 2))
        self.sign = 1.0
        self.blocks = [keras.layers.ReLU()]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.sign * self.head(self.body(x))


def replace_head(network):
    network.head = network.other_head


def replace_in_a_list(network):
    network.blocks[0] = keras.layers.Rescaling(2.0)


def set_plain_value(network):
    network.sign = -1.0


@pytest.mark.parametrize("change", [replace_head, replace_in_a_list, set_plain_value])
@pytest.mark.parametrize("nested", [False, True])
def test_a_changed_subclassed_model_is_compiled_anew_also_in_another_model(change, nested):
    network = Network()
    model = sequential(network) if nested else network
    check(model)
    change(network)
    check(model)


@pytest.mark.skipif(not TENSORFLOW, reason="quantized and LoRA layers are Keras's, one backend is enough")
def test_lora_and_quantization_are_seen():
    model = sequential(keras.layers.Dense(4), dense())
    check(model)
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4)))
    check(model)
    model.layers[0].quantize("int8")
    np.testing.assert_allclose(predict(model), keras.ops.convert_to_numpy(model(X)), rtol=0.05, atol=0.05)


def test_nothing_is_compiled_anew_while_the_model_is_the_same(compilations):
    model = sequential(dense(3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), dense())
    model.compile("sgd", NORMAL)
    predict(model)
    callback = bnn.callbacks.EverySteps(1, lambda step: predict(model))
    for _ in range(2):
        model.fit(X, np.ones(3), batch_size=1, verbose=0, callbacks=[bnn.callbacks.KLWeight(3), callback])
    before = predict(model)
    model.layers[0].random_weights["kernel"][0].mean.assign(2 * np.ones((2, 3)))
    assert np.abs(predict(model) - before).max() > 1e-3
    bnn.summarize(model, X, num_draws=2, verbose=False)
    model.evaluate(X, np.ones(3), verbose=0)
    model.layers[2].rate = 0.5  # as it was
    predict(model)
    # `KLWeight` gives the model metrics and a loss to track; it is still one model.
    assert len(compilations) == 1
    model.layers[2].rate = 0.1
    predict(model)
    assert len(compilations) == 2


def test_what_a_layer_notes_in_its_call_is_no_change(compilations):
    class Counting(keras.layers.Layer):
        calls = 0

        def call(self, x):
            self.calls += 1
            self.last_inputs = x
            return x

    model = sequential(dense(), Counting())
    for size in (3, 2, 1, 3):
        bnn.predict(model, X[:size], 2, likelihood=NORMAL, verbose=False)
        model(X)
    assert len(compilations) == 1


def test_likelihoods_see_the_outputs_of_a_draw_and_of_all():
    seen = []

    class Watching(likelihoods.Normal):
        def check_outputs(self, outputs):
            seen.append(tuple(outputs.shape)[1:])

        def check_drawn_outputs(self, outputs):
            seen.append(outputs.shape)

    for ask in (bnn.predict, bnn.summarize):
        seen.clear()
        ask(sequential(dense()), X, num_draws=60, batch_size=3, likelihood=Watching(1.0), verbose=False)
        assert seen[0] == (1,)
        assert seen[-1][1:] == (3, 1)
        assert len(set(map(len, seen))) == 2
