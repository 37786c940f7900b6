"""Recurrent layers: one draw of the weights, and one KL term, for a whole sequence."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, numpy
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N, TIME, FEATURES, UNITS = 4, 5, 3, 2
X = np.random.default_rng(0).normal(size=(N, TIME, FEATURES)).astype("float32")
MASK = np.arange(TIME) < np.array([[5], [3], [1], [4]])
STATE = np.random.default_rng(1).normal(size=(N, UNITS)).astype("float32")

CLASSES = [bnn.layers.SimpleRNN, bnn.layers.LSTM, bnn.layers.GRU]
# Draws far from the means, so that no two are alike.
WIDE = bnn.posteriors.MeanFieldNormal(initial_stddev=0.5)
STILL = bnn.posteriors.MeanFieldNormal(initial_stddev=1e-9)


def weights_of_next_call(layer):
    """Returns the weights of the Keras layer that the next call draws; the call draws them all the same."""
    state = numpy(layer.seed_generator.state).astype("int64")
    weights = layer.keras_weights(layer.sample_weights(bnn.posteriors.Noise(layer.seed_generator.next)))
    layer.seed_generator.state.assign(state)
    return [numpy(weight) for weight in weights]


def at_weights(layer, weights, *args, **kwargs):
    """Returns the outputs of a new Keras layer, of the same arguments, at some weights."""
    plain = layer.keras_layer()
    plain.build(args[0].shape)
    plain.set_weights(weights)
    return flat(plain(*args, **kwargs))


def flat(outputs):
    return [numpy(output) for output in keras.tree.flatten(outputs)]


def assert_alike(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def differ(ours, theirs):
    return all(np.abs(one - other).max() > 1e-3 for one, other in zip(ours, theirs, strict=True))


CASES = {
    "last step": ({}, {}),
    "all steps": ({"return_sequences": True}, {}),
    "state": ({"return_state": True, "return_sequences": True}, {}),
    "backwards": ({"go_backwards": True, "return_sequences": True}, {}),
    "mask": ({"return_sequences": True}, {"mask": MASK}),
    "zeros where masked": ({"return_sequences": True, "zero_output_for_mask": True}, {"mask": MASK}),
    "unrolled": ({"unroll": True}, {}),
    "dropouts": ({"dropout": 0.3, "recurrent_dropout": 0.3, "seed": 3}, {"training": True}),
    "no bias": ({"use_bias": False, "activation": "relu"}, {}),
}


def of_layer_and_case(layer_class, case):
    """Returns the parameters of a test; JAX, which compiles each, sees the cells' own code in one case of a cell."""
    is_new = layer_class is bnn.layers.LSTM or case == "all steps"
    marks = [] if is_new else [pytest.mark.jax_if_thorough]
    return pytest.param(layer_class, case, id=f"{layer_class.__name__}-{case}", marks=marks)


@pytest.mark.parametrize(
    ("layer_class", "case"), [of_layer_and_case(layer_class, case) for layer_class in CLASSES for case in CASES]
)
def test_a_call_is_keras_s_layer_at_one_draw_of_the_weights(layer_class, case):
    of_layer, of_call = CASES[case]
    layer = layer_class(UNITS, posterior=WIDE, **of_layer)
    layer.build(X.shape)
    weights = weights_of_next_call(layer)
    first = flat(layer(X, **of_call))
    assert_alike(first, at_weights(layer, weights, X, **of_call))
    assert differ(first, flat(layer(X, **of_call)))


@pytest.mark.parametrize("layer_class", CLASSES, ids=lambda each: each.__name__)
def test_a_call_starts_at_the_state_given(layer_class):
    layer = layer_class(UNITS, posterior=WIDE)
    layer.build(X.shape)
    state = [STATE, -STATE] if layer_class is bnn.layers.LSTM else [STATE]
    weights = weights_of_next_call(layer)
    ours = flat(layer(X, initial_state=state))
    assert_alike(ours, at_weights(layer, weights, X, initial_state=state))
    assert differ(ours, at_weights(layer, weights, X))


def model_of(*layers, batch_size=None):
    return keras.Sequential([keras.Input((TIME, FEATURES), batch_size=batch_size), *layers])


def test_both_directions_have_draws_of_their_own():
    both = keras.layers.Bidirectional(bnn.layers.GRU(UNITS, return_sequences=True, posterior=WIDE))
    model_of(both)
    inside = [both.forward_layer, both.backward_layer]
    weights = [weights_of_next_call(layer) for layer in inside]
    outputs = numpy(both(X))
    (forth,) = at_weights(inside[0], weights[0], X)
    (back,) = at_weights(inside[1], weights[1], X)
    assert_alike([outputs], [np.concatenate([forth, back[:, ::-1]], axis=-1)])
    assert len(bnn.layers.variational_layers(both)) == 2
    assert differ(weights[0][:2], weights[1][:2])


def test_stacked_layers_have_draws_of_their_own():
    first, second = bnn.layers.LSTM(UNITS, return_sequences=True, posterior=WIDE), bnn.layers.GRU(UNITS, posterior=WIDE)
    model = model_of(first, second)
    weights = [weights_of_next_call(layer) for layer in (first, second)]
    (hidden,) = at_weights(first, weights[0], X)
    assert_alike([numpy(model(X))], at_weights(second, weights[1], hidden.astype("float32")))


def test_predictions_are_networks_with_one_draw_each():
    model = model_of(keras.layers.Masking(), bnn.layers.LSTM(UNITS, posterior=WIDE), bnn.layers.Dense(1))
    draws = bnn.predict(model, X, 2, seed=3, likelihood=bnn.likelihoods.Normal(1.0), verbose=False).draws
    drawn = bnn.to_deterministic(model, how="draw", seed=3)
    assert_alike([draws[0]], [numpy(drawn(X))])
    assert differ([draws[0]], [draws[1]])


# Training.


@pytest.mark.parametrize("layer_class", CLASSES, ids=lambda each: each.__name__)
def test_the_kl_term_does_not_depend_on_the_length(layer_class):
    layer = layer_class(UNITS, kl_weight=0.5, return_sequences=True)
    for steps in (1, TIME):
        layer(X[:, :steps], training=True)
        (term,) = layer.losses
        assert float(term) == pytest.approx(0.5 * kl_of(layer), rel=1e-5)


def test_fit_trains_one_draw_and_counts_one_kl_term():
    layer = bnn.layers.LSTM(UNITS, return_sequences=True, posterior=WIDE)
    model = model_of(layer)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    expected = at_weights(layer, weights_of_next_call(layer), X)[0]
    history = model.fit(X, np.zeros_like(expected), verbose=0, callbacks=[bnn.callbacks.KLWeight(N)]).history
    assert history["nll"][0] == pytest.approx(np.mean(expected**2), rel=1e-4)
    assert history["kl"][0] == pytest.approx(kl_of(model), rel=1e-5)


def test_training_moves_every_weight_and_standard_deviation():
    model = model_of(keras.layers.Bidirectional(bnn.layers.SimpleRNN(UNITS, bias_posterior=STILL)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [numpy(variable) for variable in model.trainable_variables]
    assert len(before) == 12
    model.fit(X, np.ones((N, 2 * UNITS)), verbose=0, callbacks=[bnn.callbacks.KLWeight(N)])
    assert all((numpy(after) != old).any() for old, after in zip(before, model.trainable_variables, strict=True))


def test_opposite_draws_serve_the_two_halves_of_a_batch():
    layer = bnn.layers.LSTM(UNITS, posterior=WIDE, estimator="antithetic")
    layer.build(X.shape)
    up = weights_of_next_call(layer)
    means = [numpy(weight) for weight in layer.layer.get_weights()]
    down = [2 * mean - weight for mean, weight in zip(means, up, strict=True)]
    outputs = numpy(layer(X))
    assert_alike([outputs[:2]], at_weights(layer, up, X[:2]))
    assert_alike([outputs[2:]], at_weights(layer, down, X[2:]))


# States that are kept.


def stateful(**kwargs):
    return bnn.layers.LSTM(UNITS, stateful=True, posterior=STILL, **kwargs)


def test_a_stateful_layer_goes_on_where_the_call_before_ended():
    layer = stateful()
    model_of(layer, batch_size=N)
    (whole,) = at_weights(layer, layer.layer.get_weights(), X)
    for _ in range(2):
        layer(X[:, :2])
        np.testing.assert_allclose(numpy(layer(X[:, 2:])), whole, atol=1e-5)
        layer.reset_state()


@pytest.mark.skipif(not TENSORFLOW, reason="on JAX, Keras's training does not keep states, its own layers' either")
def test_training_keeps_the_state():
    layer = stateful()
    model = model_of(layer, batch_size=N)
    (once,) = at_weights(layer, layer.layer.get_weights(), X)
    (twice,) = at_weights(layer, layer.layer.get_weights(), np.concatenate([X, X], axis=1))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    fit = {"batch_size": N, "verbose": 0, "callbacks": [bnn.callbacks.KLWeight(N)]}
    logged = [model.fit(X, 0 * once, **fit).history["nll"][0] for _ in range(2)]
    np.testing.assert_allclose(logged, [np.mean(once**2), np.mean(twice**2)], rtol=1e-4)


def test_predictions_do_not_disturb_the_state():
    layer = stateful()
    model = model_of(layer, batch_size=N)
    model(X)
    before = [numpy(state) for state in layer.layer.states]
    assert all(state.any() for state in before)
    predict = {"num_draws": 3, "seed": 1, "likelihood": bnn.likelihoods.Normal(1.0), "verbose": False}
    first = bnn.predict(model, X, **predict).draws
    for state, kept in zip(layer.layer.states, before, strict=True):
        np.testing.assert_array_equal(numpy(state), kept)
    # Each draw starts at that state, none where the draw before ended.
    np.testing.assert_allclose(first, np.repeat(first[:1], 3, axis=0), atol=1e-6)
    np.testing.assert_allclose(numpy(model(X)), first[0], atol=1e-6)


# What is saved, and what is refused.


@pytest.mark.parametrize("layer_class", CLASSES, ids=lambda each: each.__name__)
def test_a_saved_layer_is_the_same(layer_class, tmp_path):
    prior = bnn.priors.Normal(0.3)
    layer = layer_class(
        UNITS,
        return_sequences=True,
        go_backwards=True,
        prior=prior,
        bias_posterior=WIDE,
        estimator="antithetic",
        seed=2,
    )
    model = model_of(layer, keras.layers.Flatten())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    predict = {"num_draws": 2, "seed": 1, "likelihood": bnn.likelihoods.Normal(1.0), "verbose": False}
    np.testing.assert_array_equal(bnn.predict(loaded, X, **predict).draws, bnn.predict(model, X, **predict).draws)
    ours, theirs = (each.layers[0].get_config() for each in (model, loaded))
    for name in ("units", "return_sequences", "go_backwards", "estimator", "seed", "name"):
        assert ours[name] == theirs[name]
    assert loaded.layers[0].prior.scale == 0.3
    assert float(bnn.kl_divergence(loaded)) == pytest.approx(float(bnn.kl_divergence(model)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units"),
        ({"estimator": "flipout"}, "has the estimators .* Received: estimator='flipout'"),
        ({"estimator": "antithetic", "stateful": True}, "stateful layer keeps a state for each example"),
        ({"kernel_regularizer": "l2"}, "their prior says.* Received: kernel_regularizer='l2'"),
        ({"recurrent_constraint": "max_norm"}, "Received: recurrent_constraint='max_norm'"),
        ({"bias_prior": bnn.priors.Normal()}, "`bias_prior` needs a `bias_posterior`"),
        ({"posterior": "normal"}, "`posterior` must be"),
    ],
)
def test_wrong_arguments_get_one_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        bnn.layers.LSTM(**{"units": 2} | arguments)
