"""Any Keras layer with random weights: users' own, attention, embeddings."""

import math

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import numpy
from tests.transforms.catalogue import Film, Gated, Noisy, OwnWeights, Penalized
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N, TIME, TOKENS = 5, 4, 9
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
CONDITION = np.random.default_rng(1).normal(size=(N, 3)).astype("float32")
SEQUENCES = np.random.default_rng(2).normal(size=(N, TIME, 4)).astype("float32")

WIDE = bnn.posteriors.MeanFieldNormal(initial_stddev=0.5)
STILL = bnn.posteriors.MeanFieldNormal(initial_stddev=1e-9)


def weights_of_next_call(layer):
    """Returns the weights of the Keras layer that the next call draws; the call draws them all the same."""
    state = numpy(layer.seed_generator.state).astype("int64")
    weights = layer.keras_weights(layer.sample_weights(bnn.posteriors.Noise(layer.seed_generator.next)))
    layer.seed_generator.state.assign(state)
    return [numpy(weight) for weight in weights]


def assert_runs_at_one_draw(layer, *args, **kwargs):
    """Asserts that two calls of a layer are calls of Keras's layer at weights of their own."""
    outputs = []
    for _ in range(2):
        weights = weights_of_next_call(layer)
        ours = keras.tree.flatten(layer(*args, **kwargs))
        plain = layer.keras_layer()
        plain(*args, **kwargs)
        plain.set_weights(weights)
        theirs = keras.tree.flatten(plain(*args, **kwargs))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-4, atol=1e-5)
        outputs.append(numpy(ours[0]))
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def predicted(model, x, **kwargs):
    likelihood = bnn.likelihoods.Normal(1.0)
    return bnn.predict(model, x, 2, seed=1, likelihood=likelihood, verbose=False, **kwargs).draws


# Users' layers.


@pytest.mark.parametrize("layer", [OwnWeights(3), Gated(3), Penalized()], ids=lambda layer: layer.name)
def test_a_user_s_layer_runs_at_one_draw_of_all_its_weights(layer):
    bayesian = bnn.layers.Bayesian(layer, posterior=WIDE)
    bayesian(X)
    assert_runs_at_one_draw(bayesian, X)


def test_weights_inside_are_random_but_for_biases_and_normalizations():
    bayesian = bnn.layers.Bayesian(Gated(3))
    bayesian(X)
    assert {name: tuple(q.read().mean.shape) for name, (q, _) in bayesian.random_weights.items()} == {
        "gate": (4, 3),
        "kernel": (4, 3),
    }
    # The means of both, a standard deviation each, a bias, and both weights of the normalization.
    assert len(bayesian.trainable_variables) == 7
    assert float(bayesian.kl_divergence()) == pytest.approx(kl_of(bayesian), rel=1e-5)


def test_what_is_frozen_inside_stays_as_it_is():
    layer = Gated(3)
    layer.inside.trainable = False
    bayesian = bnn.layers.Bayesian(layer)
    bayesian(X)
    assert list(bayesian.random_weights) == ["gate"]


@pytest.mark.parametrize("is_built", [False, True])
def test_means_start_at_the_layer_s_weights(is_built):
    layer = OwnWeights(3)
    if is_built:
        layer(X)
    bayesian = bnn.layers.Bayesian(layer, posterior=STILL)
    outputs = bayesian(X)
    np.testing.assert_allclose(numpy(bayesian.random_weights["matrix"][0].read().mean), numpy(layer.matrix))
    np.testing.assert_allclose(numpy(outputs), numpy(layer(X)), atol=1e-6)


def test_several_inputs_and_other_arguments_reach_the_layer():
    bayesian = bnn.layers.Bayesian(Film(), posterior=WIDE)
    bayesian(X, condition=CONDITION, strength=2.0)
    assert_runs_at_one_draw(bayesian, X, condition=CONDITION, strength=2.0)
    assert_runs_at_one_draw(bayesian, X, CONDITION, strength=0.5)
    inputs, condition = keras.Input((4,)), keras.Input((3,))
    model = keras.Model([inputs, condition], bayesian(inputs, condition))
    assert predicted(model, [X, CONDITION]).shape == (2, N, 4)


class Masked(keras.layers.Layer):
    """Says whether it was given a mask, and whether it trains."""

    def build(self, input_shape):
        self.matrix = self.add_weight(shape=(input_shape[-1], 2), name="matrix")

    def call(self, inputs, mask=None, training=False):
        outputs = inputs @ self.matrix
        outputs = outputs if mask is None else outputs * keras.ops.cast(mask, "float32")[..., None]
        return -outputs if training else outputs


def test_masks_and_the_training_argument_reach_the_layer():
    bayesian = bnn.layers.Bayesian(Masked(), posterior=STILL)
    x = SEQUENCES.copy()
    x[:, -1] = 0
    model = keras.Sequential([keras.Input((TIME, 4)), keras.layers.Masking(), bayesian])
    bayesian.layer.matrix.assign(np.ones((4, 2)))
    expected = np.repeat(x.sum(axis=-1, keepdims=True), 2, axis=-1)
    np.testing.assert_allclose(numpy(model(x)), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(model(x, training=True)), -expected, atol=1e-5)
    mask = np.arange(TIME) < np.full((N, 1), 2)
    np.testing.assert_allclose(numpy(bayesian(x, mask=mask)), expected * mask[..., None], atol=1e-5)


@pytest.mark.parametrize("estimator", ["reparameterization", "antithetic"])
def test_statistics_inside_move_in_training_and_in_nothing_else(estimator):
    bayesian = bnn.layers.Bayesian(Noisy(), posterior=STILL, estimator=estimator)
    model = keras.Sequential([keras.Input((4,)), bayesian])
    normalization = bayesian.layer.normalization

    def statistics():
        return numpy(normalization.moving_mean), numpy(normalization.moving_variance)

    start = statistics()
    model(X)
    predicted(model, X)
    np.testing.assert_array_equal(statistics(), start)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.concatenate([X, X])
    model.fit(x, x, batch_size=len(x), shuffle=False, verbose=0, callbacks=[bnn.callbacks.KLWeight(len(x))])
    hidden = X @ numpy(bayesian.layer.first.kernel)
    steps = 1 if estimator == "reparameterization" else 2
    share = 1 - 0.99**steps
    np.testing.assert_allclose(statistics()[0], share * hidden.mean(axis=0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("estimator", ["reparameterization", "antithetic"])
def test_activity_regularizers_count_once(estimator):
    plain = OwnWeights(2, activity_regularizer="l2")
    bayesian = bnn.layers.Bayesian(plain, posterior=STILL, estimator=estimator, kl_weight=0.0)
    outputs = numpy(bayesian(X[:4]))
    # Keras takes the mean over examples.
    expected = 0.01 * np.sum(outputs**2) / 4
    assert sum(float(loss) for loss in bayesian.losses) == pytest.approx(expected, rel=1e-5)


def test_losses_inside_count_once_beside_the_kl_term():
    bayesian = bnn.layers.Bayesian(Penalized(), posterior=STILL, kl_weight=0.5)
    outputs = numpy(bayesian(X))
    of_layer = 1e-3 * np.mean(outputs**2)
    assert sum(float(loss) for loss in bayesian.losses) == pytest.approx(of_layer + 0.5 * kl_of(bayesian), rel=1e-5)
    bayesian.kl_weight = 0.0
    bayesian(X)
    assert sum(float(loss) for loss in bayesian.losses) == pytest.approx(of_layer, rel=1e-4)


def test_regularizers_and_constraints_of_random_weights_are_dropped():
    layer = keras.layers.Dense(2, kernel_regularizer="l2", kernel_constraint="non_neg", bias_regularizer="l2")
    bayesian = bnn.layers.Bayesian(layer, kl_weight=0.0)
    bayesian(X)
    assert layer.kernel.regularizer is layer.kernel.constraint is None
    assert len(bayesian.losses) == 2
    assert layer.bias.regularizer is not None


# Opposite draws.


def linear(**kwargs):
    layer = bnn.layers.Bayesian(keras.layers.Dense(2, use_bias=False), estimator="antithetic", posterior=WIDE, **kwargs)
    layer(X)
    return layer


@pytest.mark.parametrize("number", [2, 4])
def test_the_noise_of_two_halves_cancels(number):
    layer = linear()
    x = np.repeat(X[:1], number, axis=0)
    outputs, mean = numpy(layer(x)), x @ numpy(layer.layer.kernel)
    np.testing.assert_allclose(outputs.mean(axis=0), mean[0], atol=1e-6)
    assert np.abs(outputs - mean).min() > 1e-3


@pytest.mark.parametrize("number", [1, 3, 5])
def test_odd_batches_have_a_draw_for_each_example(number):
    layer = linear()
    up = weights_of_next_call(layer)[0]
    outputs, mean = numpy(layer(X[:number])), numpy(layer.layer.kernel)
    half = (number + 1) // 2
    expected = np.concatenate([X[:half] @ up, X[half:number] @ (2 * mean - up)])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_batches_of_a_size_not_known_beforehand_are_halved_too():
    layer = linear()
    model = keras.Sequential([keras.Input((4,)), layer])
    for number in (1, 2, 5):
        x = np.repeat(X[:1], number, axis=0)
        outputs = model.predict(x, batch_size=5, verbose=0)
        assert outputs.shape == (number, 2)
        noise = outputs - x @ numpy(layer.layer.kernel)
        np.testing.assert_allclose(np.abs(noise), np.abs(noise[:1]).repeat(number, axis=0), atol=1e-5)
        assert np.sign(noise[:, 0] * noise[0, 0]).sum() == number % 2
    model.compile(keras.optimizers.SGD(0.1), "mse")
    logged = model.fit(X, X[:, :2], batch_size=3, verbose=0, callbacks=[bnn.callbacks.KLWeight(N)]).history
    assert np.isfinite(logged["loss"][0])


def test_masks_and_second_inputs_are_halved_with_the_batch():
    layer = bnn.layers.Bayesian(Film(), estimator="antithetic", posterior=STILL)
    np.testing.assert_allclose(numpy(layer(X, CONDITION)), numpy(layer.layer(X, CONDITION)), atol=1e-5)
    attention = bnn.layers.MultiHeadAttention(2, 3, estimator="antithetic", posterior=STILL)
    for mask in (np.tri(TIME, dtype=bool), np.tile(np.tri(TIME, dtype=bool), (N, 1, 1))):
        ours = attention(SEQUENCES, SEQUENCES, attention_mask=mask)
        theirs = attention.layer(SEQUENCES, SEQUENCES, attention_mask=mask)
        np.testing.assert_allclose(numpy(ours), numpy(theirs), atol=1e-5)


# Embeddings.


def tokens(*rows):
    return np.array(rows, "int32")


def test_a_token_has_one_vector_in_a_batch():
    layer = bnn.layers.Embedding(TOKENS, 3, posterior=WIDE)
    x = tokens([1, 2, 1], [2, 1, 3])
    vectors = numpy(layer(x))
    for same in ((0, 2), (1, 1)):
        np.testing.assert_array_equal(vectors[same], vectors[0, 0])
    np.testing.assert_array_equal(vectors[0, 1], vectors[1, 0])
    assert_runs_at_one_draw(layer, x)


def test_the_kl_term_is_that_of_the_whole_table():
    layer = bnn.layers.Embedding(TOKENS, 3, kl_weight=0.5, posterior=WIDE)
    layer(tokens([1]))
    (term,) = layer.losses
    mean = numpy(layer.layer.embeddings)
    assert mean.shape == (TOKENS, 3)
    expected = np.sum(0.5 * (mean**2 + 0.5**2 - 1) - math.log(0.5))
    assert float(term) == pytest.approx(0.5 * expected, rel=1e-5)


def test_padding_does_not_reach_the_layer_behind():
    embedding = bnn.layers.Embedding(TOKENS, 3, mask_zero=True, posterior=STILL)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), embedding, bnn.layers.LSTM(2, posterior=STILL)])
    padded, without = tokens([1, 2, 0, 0], [3, 4, 0, 0]), tokens([1, 2], [3, 4])
    np.testing.assert_allclose(numpy(model(padded)), numpy(model(without)), atol=1e-6)
    np.testing.assert_array_equal(numpy(embedding.compute_mask(padded, None)), padded != 0)


def test_only_tokens_seen_are_moved_by_the_data():
    model = keras.Sequential([keras.Input((2,), dtype="int32"), bnn.layers.Embedding(TOKENS, 3)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = numpy(model.layers[0].layer.embeddings)
    callback = bnn.callbacks.KLWeight(2, beta=0.0)
    model.fit(tokens([1, 2], [2, 3]), np.ones((2, 2, 3)), verbose=0, callbacks=[callback])
    moved = (numpy(model.layers[0].layer.embeddings) != before).any(axis=1)
    assert list(np.flatnonzero(moved)) == [1, 2, 3]


# Attention.

MASK = np.tile(np.tri(TIME, dtype=bool), (N, 1, 1))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"key": 0.5 * SEQUENCES},
        {"use_causal_mask": True},
        {"attention_mask": MASK, "return_attention_scores": True},
        {"query_mask": MASK[:, 1], "value_mask": MASK[:, 2]},
    ],
    ids=["self", "key", "causal", "mask and scores", "masks of inputs"],
)
def test_attention_is_keras_s_at_one_draw_of_all_projections(arguments):
    layer = bnn.layers.MultiHeadAttention(2, 3, posterior=WIDE)
    layer(SEQUENCES, SEQUENCES, **arguments)
    assert sorted(layer.random_weights) == [
        *("attention_output_kernel", "key_kernel", "query_kernel", "value_kernel"),
    ]
    assert_runs_at_one_draw(layer, SEQUENCES, SEQUENCES, **arguments)


def test_causal_attention_does_not_look_ahead():
    layer = bnn.layers.MultiHeadAttention(2, 3, posterior=STILL)
    later = SEQUENCES.copy()
    later[:, -1] += 1
    ours, other = (numpy(layer(x, x, use_causal_mask=True)) for x in (SEQUENCES, later))
    np.testing.assert_allclose(ours[:, :-1], other[:, :-1], atol=1e-5)
    assert np.abs(ours[:, -1] - other[:, -1]).max() > 1e-3


# Biases, files, errors.


def test_biases_are_random_with_a_posterior_of_their_own():
    layer = bnn.layers.Bayesian(Gated(3), bias_posterior=WIDE, bias_prior=bnn.priors.Normal(2.0), posterior=STILL)
    layer(X)
    assert sorted(layer.random_weights) == ["bias", "gate", "kernel"]
    posterior, prior = layer.random_weights["bias"]
    np.testing.assert_allclose(numpy(posterior.read().stddev), 0.5, rtol=1e-6)
    assert prior.scale == 2.0
    assert layer.random_weights["gate"][1].scale == 1.0
    assert_runs_at_one_draw(layer, X)


MAKE = {
    "own": lambda: (bnn.layers.Bayesian(Gated(3), estimator="antithetic"), X, None),
    "own, biases": lambda: (bnn.layers.Bayesian(OwnWeights(3), bias_posterior=WIDE, name="mine", seed=3), X, None),
    "ConvLSTM1D": lambda: (bnn.layers.Bayesian(keras.layers.ConvLSTM1D(2, 2)), SEQUENCES[..., None], None),
    "Embedding": lambda: (bnn.layers.Embedding(TOKENS, 3, mask_zero=True), tokens([1, 2], [3, 0]), "int32"),
    "attention": lambda: (bnn.layers.Bayesian(keras.layers.GroupQueryAttention(2, 4, 2)), SEQUENCES, None),
}


@pytest.mark.parametrize("name", MAKE)
def test_a_saved_layer_is_the_same_and_so_is_a_clone(name, tmp_path):
    layer, x, dtype = MAKE[name]()
    inputs = keras.Input(x.shape[1:], dtype=dtype)
    outputs = layer(inputs, inputs) if name == "attention" else layer(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(outputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clone = bnn.clone_model(model)
    clone.set_weights(model.get_weights())
    for copy in (loaded, clone):
        np.testing.assert_allclose(predicted(copy, x), predicted(model, x), rtol=1e-5, atol=1e-6)
        (of_copy,) = bnn.layers.variational_layers(copy)
        assert (of_copy.name, of_copy.seed) == (layer.name, layer.seed)
        assert list(of_copy.random_weights) == list(layer.random_weights)
        assert type(of_copy.estimator) is type(layer.estimator)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnn.layers.Bayesian(3), "`layer` must be a Keras layer. Received: layer=3"),
        (lambda: bnn.layers.Bayesian(OwnWeights(), estimator="flipout"), 'has the estimators "reparameterization"'),
        (lambda: bnn.layers.Embedding(3, 2, estimator="local_reparameterization"), "has the estimators"),
        (lambda: bnn.layers.MultiHeadAttention(3, 2, estimator="flipout"), "Received: estimator='flipout'"),
        (lambda: bnn.layers.Embedding(0, 2), "input_dim"),
        (lambda: bnn.layers.Embedding(3, 2, embeddings_regularizer="l2"), "Received: embeddings_regularizer='l2'"),
        (lambda: bnn.layers.Bayesian(OwnWeights(), bias_prior=bnn.priors.Normal()), "needs a `bias_posterior`"),
        (lambda: bnn.layers.Bayesian(bnn.layers.Dense(2)), "must have no Bayesian layers inside"),
        (lambda: bnn.layers.Bayesian(keras.layers.ReLU())(X), "has no weights to make random"),
        (lambda: bnn.layers.Bayesian(OwnWeights(), prior="normal"), "`prior` must be"),
    ],
)
def test_wrong_arguments_get_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_training_without_a_kl_weight_is_an_error():
    model = keras.Sequential([keras.Input((4,)), bnn.layers.Bayesian(OwnWeights(2))])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`kl_weight` is not set"):
        model.fit(X, X[:, :2], verbose=0)
