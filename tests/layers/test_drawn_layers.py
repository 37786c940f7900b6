"""Layers that are run at weights drawn once a call: recurrent layers, attention, embeddings, and any Keras layer."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import numpy
from tfp_bnn._numerics.noise import counted
from tfp_bnn.layers import GRU, LSTM, Bayesian, Embedding, MultiHeadAttention, SimpleRNN, held_weights

RNG = np.random.default_rng(0)
SEQUENCES = RNG.normal(size=(3, 5, 4)).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
STATE = [np.ones((3, 3), "float32")] * 2
SEED = keras.ops.convert_to_tensor(np.array([3, 7], "int32"))


def at_a_draw(layer, *args, **kwargs):
    """Returns the outputs of a layer at a draw of its weights, and those of its Keras layer with these weights."""
    layer(*args, **kwargs)
    draw = layer.sample_weights(counted(SEED))
    plain = layer.keras_layer()
    plain(*args, **kwargs)
    plain.set_weights([numpy(each) for each in layer.keras_weights(draw)])
    with held_weights.hold({layer: draw}):
        return layer(*args, **kwargs), plain(*args, **kwargs)


def assert_equal(ours, theirs):
    ours, theirs = keras.tree.flatten(ours), keras.tree.flatten(theirs)
    for each, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(numpy(each), numpy(other), rtol=1e-5, atol=1e-5)


def normal(size=1.0):
    return bnn.posteriors.MeanFieldNormal(initial_stddev=size)


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        (lambda: SimpleRNN(3, posterior=normal()), {}),
        (lambda: LSTM(3, return_sequences=True, return_state=True, posterior=normal()), {"mask": MASK}),
        (lambda: LSTM(3, go_backwards=True, use_bias=False, posterior=normal()), {}),
        (
            lambda: LSTM(3, posterior=normal(), bias_posterior=normal()),
            {"initial_state": [np.ones((3, 3), "float32")] * 2},
        ),
        (lambda: GRU(3, return_sequences=True, zero_output_for_mask=True, posterior=normal()), {"mask": MASK}),
        (lambda: GRU(3, reset_after=False, unroll=True, posterior=normal()), {}),
    ],
)
def test_a_recurrent_layer_is_the_one_of_keras_with_one_draw_for_the_whole_sequence(layer, call):
    assert_equal(*at_a_draw(layer(), SEQUENCES, **call))


@pytest.mark.parametrize("layer_class", [SimpleRNN, LSTM, GRU])
def test_a_sequence_of_any_length_has_one_kl_term(layer_class):
    layer = layer_class(3, kl_weight=0.5)
    terms = []
    for length in (1, 5, 50):
        layer(np.ones((2, length, 4), "float32"))
        (term,) = layer.losses
        terms.append(float(term))
    q = [variables.read() for variables, _ in layer.random_weights.values()]
    exact = sum(numpy(bnn.kl.closed_form(each, bnn.priors.Normal())) for each in q)
    np.testing.assert_allclose(terms, 0.5 * exact, rtol=1e-5)


def test_both_directions_and_stacked_layers_draw_once_each():
    model = keras.Sequential(
        [
            keras.Input((None, 4)),
            keras.layers.Bidirectional(LSTM(3, return_sequences=True, posterior=normal())),
            GRU(2, posterior=normal()),
        ]
    )
    drawn = bnn.to_deterministic(model, how="draw", seed=5)
    predictive = bnn.predict(model, SEQUENCES, num_draws=1, seed=5, likelihood=bnn.likelihoods.Normal(1.0))
    np.testing.assert_allclose(predictive.draws[0], numpy(drawn(SEQUENCES)), rtol=1e-4, atol=1e-5)


def test_training_a_recurrent_network_learns_what_only_the_first_step_says():
    x = RNG.normal(size=(128, 4, 1)).astype("float32")
    y = (x[:, 0, 0] > 0).astype("int32")
    model = keras.Sequential([keras.Input((4, 1)), LSTM(8, posterior=normal(0.02)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.05), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    history = model.fit(
        x, y, epochs=25, batch_size=64, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=128, beta=0.01)]
    ).history
    assert history["accuracy"][-1] > 0.9
    assert history["nll"][-1] < 0.5 * history["nll"][0]


def test_draws_of_a_prediction_leave_the_state_of_a_stateful_layer():
    layer = LSTM(3, stateful=True, posterior=normal(0.3))
    model = keras.Sequential([keras.Input(batch_shape=(3, 5, 4)), layer])
    model(SEQUENCES)
    before = [numpy(state) for state in layer.layer.states]
    assert np.abs(before[0]).max() > 0
    likelihood = bnn.likelihoods.Normal(1.0)
    first, again = (
        bnn.predict(model, SEQUENCES, num_draws=2, seed=1, batch_size=3, likelihood=likelihood).draws for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    for state, kept in zip(layer.layer.states, before, strict=True):
        np.testing.assert_array_equal(numpy(state), kept)
    layer.reset_state()
    assert not np.any(numpy(layer.layer.states[0]))


class Own(keras.layers.Layer):
    """A layer of two inputs, with a normalization and a mask, as a user may write one."""

    def __init__(self, **kwargs):
        kwargs.setdefault("activity_regularizer", "l2")
        super().__init__(**kwargs)
        self.dense, self.norm = keras.layers.Dense(2), keras.layers.BatchNormalization(momentum=0.5)

    def build(self, x_shape, y_shape):
        self.gain = self.add_weight(name="gain", shape=(y_shape[-1], 2), initializer="ones")
        self.dense.build(x_shape)
        self.norm.build((None, 2))

    def call(self, x, y, mask=None, training=False):
        outputs = self.norm(self.dense(x), training=training) + y @ self.gain
        return outputs if mask is None else keras.ops.where(mask[:, None], outputs, 0.0)

    def compute_output_shape(self, x_shape, y_shape):
        return (*x_shape[:-1], 2)


X, Y = RNG.normal(size=(2, 6, 4)).astype("float32")


def test_a_layer_of_ones_own_has_all_its_weights_random_but_biases_and_normalizations():
    layer = Bayesian(Own(), posterior=normal(), kl_weight=1.0)
    mask = keras.ops.convert_to_tensor(np.array([1, 1, 0, 1, 0, 1], bool))
    assert_equal(*at_a_draw(layer, X, Y, mask=mask))
    assert sorted(layer.random_weights) == ["gain", "kernel"]
    layer(X, Y)
    assert len(layer.losses) == 2  # the KL term, and the penalty of the layer inside


def test_statistics_of_a_normalization_inside_are_updated_in_training():
    layer = Bayesian(Own(), posterior=normal(1e-6), kl_weight=0.0)
    layer(X, Y)
    kernel = numpy(layer.layer.dense.kernel)
    assert not np.any(numpy(layer.layer.norm.moving_mean))
    layer(X, Y, training=True)
    np.testing.assert_allclose(numpy(layer.layer.norm.moving_mean), 0.5 * (X @ kernel).mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_halves_of_a_batch_have_opposite_noise(size):
    layer = Bayesian(keras.layers.Dense(3, use_bias=False), posterior=normal(), estimator="antithetic", seed=2)
    x = np.ones((size, 4), "float32")
    outputs = numpy(layer(x))
    noise = outputs - numpy(layer.layer(x))
    half = (size + 1) // 2
    assert outputs.shape == (size, 3)
    assert np.abs(noise).min() > 1e-3
    np.testing.assert_allclose(noise[:half], np.broadcast_to(noise[0], (half, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(noise[half:], np.broadcast_to(-noise[0], (size - half, 3)), rtol=1e-4, atol=1e-5)


def test_halves_of_a_batch_of_unknown_size_have_opposite_noise():
    layer = Bayesian(keras.layers.Dense(3, use_bias=False), posterior=normal(), estimator="antithetic")
    model = keras.Sequential([keras.Input((4,)), layer])
    noise = model.predict(np.ones((6, 4), "float32"), verbose=0) - numpy(layer.layer(np.ones((6, 4), "float32")))
    np.testing.assert_allclose(noise.sum(axis=0), 0.0, atol=1e-4)


def test_a_token_has_one_vector_wherever_it_stands():
    layer = Embedding(10, 3, mask_zero=True, posterior=normal(), kl_weight=1.0)
    tokens = np.array([[1, 2, 1], [2, 1, 0]])
    outputs = numpy(layer(tokens))
    np.testing.assert_array_equal(outputs[0, 0], outputs[0, 2])
    np.testing.assert_array_equal(outputs[0, 0], outputs[1, 1])
    np.testing.assert_array_equal(numpy(layer.compute_mask(tokens, None)), tokens != 0)
    (term,) = layer.losses
    q = layer.random_weights["embeddings"][0].read()
    assert q.mean.shape == (10, 3)
    np.testing.assert_allclose(float(term), numpy(bnn.kl.closed_form(q, bnn.priors.Normal())), rtol=1e-5)


def test_the_mask_of_an_embedding_reaches_the_layer_behind_it():
    inputs = keras.Input((None,), dtype="int32")
    embedding, lstm = Embedding(10, 3, mask_zero=True, posterior=normal(1e-6)), LSTM(2, posterior=normal(1e-6))
    model = keras.Model(inputs, lstm(embedding(inputs)))
    short, padded = model.predict(np.array([[4, 5]]), verbose=0), model.predict(np.array([[4, 5, 0, 0]]), verbose=0)
    np.testing.assert_allclose(short, padded, atol=1e-4)


@pytest.mark.parametrize("call", [{}, {"use_causal_mask": True}, {"return_attention_scores": True}])
def test_attention_is_that_of_keras_at_drawn_projections(call):
    layer = MultiHeadAttention(2, 3, posterior=normal())
    other = RNG.normal(size=(3, 7, 4)).astype("float32")
    assert_equal(*at_a_draw(layer, SEQUENCES, SEQUENCES if call.get("use_causal_mask") else other, **call))
    assert len(layer.random_weights) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(3, estimator="flipout"), 'estimators "reparameterization" and "antithetic"'),
        (lambda: LSTM(3, kernel_regularizer="l2"), "Received: kernel_regularizer='l2'"),
        (lambda: LSTM(0), "Received: units=0"),
        (lambda: GRU(3, stateful=True, estimator="antithetic"), "stateful"),
        (lambda: Bayesian("lstm"), "Received: layer='lstm'"),
        (lambda: Bayesian(bnn.layers.Dense(3)), "no Bayesian layers inside"),
        (lambda: Bayesian(keras.layers.Dropout(0.5))(X), "no weights to make random"),
        (lambda: LSTM(3, bias_prior=bnn.priors.Normal()), "`bias_prior` needs"),
    ],
)
def test_what_cannot_be_is_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_it_is_the_same_after_saving_and_loading(tmp_path):
    keras.saving.get_custom_objects()["Own"] = Own
    one, other = keras.Input((4,)), keras.Input((4,))
    tokens = keras.Input((5,), dtype="int32")
    embedded = Embedding(10, 4)(tokens)
    outputs = [
        Bayesian(Own(), estimator="antithetic", bias_posterior=normal())(one, other),
        LSTM(2, recurrent_dropout=0.2, bias_posterior=normal())(MultiHeadAttention(2, 2)(embedded, embedded)),
    ]
    model = keras.Model([one, other, tokens], outputs)
    x = [X, Y, RNG.integers(0, 10, (6, 5))]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"Own": Own})
    for ours, theirs in zip(model(x), loaded(x), strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))  # the same noise, too
    del keras.saving.get_custom_objects()["Own"]
