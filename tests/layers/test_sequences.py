"""Bayesian layers that run once a time step: one draw of the weights and one KL term for each sequence."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, UNCOMPILED
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N, TIME, FEATURES, UNITS = 6, 4, 3, 2
X = np.random.default_rng(0).normal(size=(N, TIME, FEATURES)).astype("float32")
# Steps with other inputs would have other outputs whatever the weights are.
SAME_STEPS = np.ones((N, TIME, FEATURES), "float32")


@keras.saving.register_keras_serializable("tests")
class LastInput(keras.layers.Layer):
    """A cell whose outputs are those of a Bayesian layer for its inputs, whatever its state is."""

    def __init__(self, layer=None, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer if layer is not None else bnn.layers.DenseFlipout(UNITS)
        self.state_size = UNITS

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, inputs, states):
        return self.layer(inputs), [states[0] + 1]

    def get_config(self):
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


class Recurrent(keras.layers.Layer):
    """A cell with two Bayesian layers, which are built when they are first called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = UNITS
        self.of_inputs = bnn.layers.DenseReparameterization(UNITS)
        self.of_states = bnn.layers.DenseVariational(UNITS, kl_use_exact=True)

    def call(self, inputs, states, training=False):
        state = keras.ops.tanh(self.of_inputs(inputs) + self.of_states(states[0]))
        return state, [state]


def rnn(cell=None, **kwargs):
    return keras.layers.RNN(LastInput() if cell is None else cell, return_sequences=True, **kwargs)


def prebuilt():
    cell = LastInput()
    cell.build((None, FEATURES))
    return rnn(cell)


MAKE = {
    "loop": rnn,
    "unrolled": lambda: rnn(unroll=True),
    "reparameterization": lambda: rnn(LastInput(bnn.layers.DenseReparameterization(UNITS))),
    "local": lambda: rnn(LastInput(bnn.layers.DenseLocalReparameterization(UNITS))),
    "any posterior": lambda: rnn(LastInput(bnn.layers.DenseVariational(UNITS, kl_use_exact=True))),
    "prebuilt": prebuilt,
    "stacked": lambda: rnn([LastInput(), LastInput()]),
    "bidirectional": lambda: keras.layers.Bidirectional(rnn()),
    "TimeDistributed": lambda: keras.layers.TimeDistributed(bnn.layers.DenseFlipout(UNITS)),
    "model inside": lambda: keras.layers.TimeDistributed(
        keras.Sequential([bnn.layers.DenseFlipout(5, "tanh"), bnn.layers.DenseFlipout(UNITS)])
    ),
}


def compiled(layer, time=TIME, **arguments):
    model = keras.Sequential([keras.Input((time, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(0.0), loss=spread_over_steps, **(UNCOMPILED | arguments))
    return model


@keras.saving.register_keras_serializable("tests")
def spread_over_steps(y, outputs):
    """A loss that shows how far the outputs of a training step differ between time steps, and between calls."""
    return keras.ops.max(keras.ops.abs(outputs - outputs[:, :1]), axis=(1, 2))


def fit(model, x=X, y=None):
    y = np.zeros(len(x)) if y is None else y
    history = model.fit(x, y, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)]).history
    return {name: values[-1] for name, values in history.items()}


def draws_of(model, x=X):
    flat = keras.Sequential([model, keras.layers.Flatten()])
    return bnn.predict(flat, x, num_draws=2, likelihood=bnn.likelihoods.Normal(1.0), seed=1, verbose=False).draws


@pytest.mark.parametrize("name", MAKE if TENSORFLOW else ["loop", "stacked", "bidirectional", "TimeDistributed"])
def test_a_sequence_has_one_draw_and_one_kl_term(name):
    model = compiled(MAKE[name](), run_eagerly=TENSORFLOW and name != "loop")
    logged = fit(model, SAME_STEPS)
    # The loss without the KL term is how far the outputs of a sequence's steps differ: its weights are the same.
    assert logged["nll"] == pytest.approx(0.0, abs=1e-5)
    assert logged["kl"] == pytest.approx(kl_of(model), rel=1e-5)
    outputs = [model.predict(SAME_STEPS, verbose=0) for _ in range(2)]
    np.testing.assert_allclose(outputs[0], np.repeat(outputs[0][:, :1], TIME, axis=1), rtol=1e-5)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4
    draws = draws_of(model, SAME_STEPS).reshape((2, N, TIME, -1))
    np.testing.assert_allclose(draws, np.repeat(draws[:, :, :1], TIME, axis=2), rtol=1e-5)
    assert np.abs(draws[0] - draws[1]).max() > 1e-4


@pytest.mark.filterwarnings("ignore:`build()` was called on layer")
@pytest.mark.parametrize(("unroll", "run_eagerly"), [(False, False), (True, True)])
def test_training_through_time_moves_every_weight(unroll, run_eagerly):
    model = keras.Sequential([keras.Input((TIME, FEATURES)), keras.layers.RNN(Recurrent(), unroll=unroll)])
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=run_eagerly)
    callbacks = [bnn.callbacks.KLWeight(num_examples=N)]
    model.fit(X, np.ones((N, UNITS)), verbose=0, callbacks=callbacks)
    before = model.get_weights()
    assert len(model.trainable_variables) == 5
    logged = model.fit(X, np.ones((N, UNITS)), verbose=0, callbacks=callbacks).history
    assert np.isfinite(logged["loss"][0])
    for old, variable in zip(before, model.get_weights(), strict=True):
        assert old.shape == () or (old != variable).any()


def test_a_cell_shared_by_two_rnns_counts_once():
    cell, inputs = LastInput(), keras.Input((TIME, FEATURES))
    model = keras.Model(inputs, rnn(cell)(inputs) + rnn(cell, go_backwards=True)(inputs))
    model.compile(keras.optimizers.SGD(0.0), loss=spread_over_steps)
    assert fit(model)["kl"] == pytest.approx(kl_of(model), rel=1e-5)


def test_a_saved_rnn_is_the_same_and_so_is_a_clone(tmp_path):
    model = compiled(rnn())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clone = bnn.clone_model(model)
    clone.set_weights(model.get_weights())
    for copied in (loaded, clone):
        np.testing.assert_allclose(draws_of(copied), draws_of(model), rtol=1e-5)
    logged = fit(loaded, SAME_STEPS)
    assert logged["nll"] == pytest.approx(0.0, abs=1e-5)


def test_a_learned_prior_is_shared_by_both_directions_and_the_rest():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True)
    cell = LastInput(bnn.layers.DenseFlipout(UNITS, prior=prior))
    with bnn.priors.kept_shared(prior):
        both = keras.layers.Bidirectional(rnn(cell))
    model = keras.Sequential(
        [keras.Input((TIME, FEATURES)), both, keras.layers.Flatten(), bnn.layers.DenseFlipout(1, prior=prior)]
    )
    assert {id(layer.prior) for layer in bnn.layers.variational_layers(model)} == {id(prior)}


@pytest.mark.skipif(not TENSORFLOW, reason="JAX has no lengths that are not known when it compiles")
@pytest.mark.parametrize("name", ["loop", "TimeDistributed"])
def test_sequences_may_have_any_length(name):
    logged = fit(compiled(MAKE[name](), time=None, run_eagerly=False), SAME_STEPS)
    assert logged["nll"] == pytest.approx(0.0, abs=1e-5)


def test_masked_steps_do_not_count_twice():
    model = keras.Sequential([keras.Input((TIME, FEATURES)), keras.layers.Masking(), rnn()])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    x = X.copy()
    x[:, -1] = 0
    assert fit(model, x, y=np.zeros((N, TIME, UNITS)))["kl"] == pytest.approx(kl_of(model), rel=1e-5)


def test_recurrent_layers_without_bayesian_ones_are_as_they_were():
    layer = keras.layers.LSTM(UNITS, return_state=True)
    outputs, *states = layer(X, training=True)
    assert tuple(outputs.shape) == (N, UNITS)
    assert len(states) == 2
