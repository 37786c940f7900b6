"""Prediction: what a predictive distribution says of given outputs, and the draws of whole networks."""

import gc
import weakref

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW
from tfp_bnn import layers, likelihoods

STANDARD_ERRORS = 5
CATEGORICAL = likelihoods.Categorical()
NORMAL = likelihoods.Normal(scale=0.5)
LAYERS = [
    layers.DenseFlipout,
    layers.DenseLocalReparameterization,
    layers.DenseReparameterization,
    layers.DenseVariational,
]
POSTERIOR = bnn.posteriors.MeanFieldNormal(0.5)
# Outputs of 7 draws for 5 inputs, and labels.
LOGITS = np.random.default_rng(0).normal(scale=2, size=(7, 5, 3)).astype("float32")
LABELS = np.array([0, 2, 1, 1, 0])


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def predict(model, x, num_draws=20, batch_size=1000, *, likelihood=NORMAL, seed=1):
    return bnn.predict(model, x, num_draws, batch_size, likelihood=likelihood, seed=seed, verbose=False)


def inputs(size=4, features=4):
    return np.random.default_rng(1).normal(size=(size, features)).astype("float32")


# Classes, from given outputs


def test_the_mean_is_the_mean_of_the_probabilities():
    probabilities = scipy.special.softmax(LOGITS.astype("float64"), axis=-1)
    predictive = bnn.Predictive(LOGITS, CATEGORICAL)
    np.testing.assert_allclose(predictive.draws, probabilities, rtol=1e-5)
    np.testing.assert_allclose(predictive.mean(), probabilities.mean(axis=0), rtol=1e-5)


def test_log_prob_is_the_logarithm_of_the_mean_probability_not_the_mean_of_the_logarithms():
    log_probs = scipy.special.log_softmax(LOGITS.astype("float64"), axis=-1)[:, np.arange(5), LABELS]
    log_prob = bnn.Predictive(LOGITS, CATEGORICAL).log_prob(LABELS)
    np.testing.assert_allclose(log_prob, np.log(np.exp(log_probs).mean(axis=0)), rtol=1e-5)
    assert (log_prob > log_probs.mean(axis=0) + 0.01).all()


@pytest.mark.parametrize("draws", [5, 7])
def test_labels_may_be_a_column(draws):
    predictive = bnn.Predictive(LOGITS[:draws], CATEGORICAL)
    np.testing.assert_allclose(predictive.log_prob(LABELS[:, np.newaxis]), predictive.log_prob(LABELS), rtol=1e-6)


def test_the_log_prob_of_what_is_next_to_impossible_is_finite():
    outputs = np.array([[[0.0, -500.0]], [[0.0, -400.0]]], "float32")
    np.testing.assert_allclose(bnn.Predictive(outputs, CATEGORICAL).log_prob([1]), [-400 - np.log(2)], rtol=1e-6)


def test_entropy_is_aleatoric_and_epistemic_together():
    probabilities = scipy.special.softmax(LOGITS.astype("float64"), axis=-1)
    predictive = bnn.Predictive(LOGITS, CATEGORICAL)
    entropy = scipy.stats.entropy(probabilities.mean(axis=0), axis=-1)
    expected_entropy = scipy.stats.entropy(probabilities, axis=-1).mean(axis=0)
    np.testing.assert_allclose(predictive.entropy(), entropy, rtol=1e-5)
    np.testing.assert_allclose(predictive.expected_entropy(), expected_entropy, rtol=1e-5)
    np.testing.assert_allclose(predictive.mutual_information(), entropy - expected_entropy, rtol=1e-4, atol=1e-6)


def test_draws_that_are_sure_and_disagree_have_epistemic_entropy_only():
    outputs = np.array([[[1000.0, -1000.0]], [[-1000.0, 1000.0]]], "float32")
    predictive = bnn.Predictive(outputs, CATEGORICAL)
    np.testing.assert_allclose(predictive.mutual_information(), [np.log(2)], rtol=1e-6)
    np.testing.assert_array_equal(predictive.expected_entropy(), [0.0])


def test_draws_that_agree_have_aleatoric_entropy_only():
    predictive = bnn.Predictive(np.repeat(LOGITS[:1], 6, axis=0), CATEGORICAL)
    assert (predictive.mutual_information() >= 0).all()
    np.testing.assert_allclose(predictive.mutual_information(), 0, atol=1e-6)
    np.testing.assert_allclose(predictive.entropy(), predictive.expected_entropy(), rtol=1e-5)


# Targets, from given outputs


@pytest.mark.parametrize("scale", [0.5, None])
def test_the_variance_is_that_of_the_mixture(scale):
    outputs = np.random.default_rng(2).normal(size=(7, 5, 4)).astype("float32")
    loc, stddev = (outputs, np.full_like(outputs, 0.5)) if scale else np.split(outputs.astype("float64"), 2, axis=-1)
    stddev = stddev if scale else 1e-3 + (1 - 1e-3) * np.exp(np.arcsinh(stddev / 2))
    mean = loc.mean(axis=0)
    variance = (stddev**2 + loc**2).mean(axis=0) - mean**2
    predictive = bnn.Predictive(outputs, likelihoods.Normal(scale))
    np.testing.assert_allclose(predictive.mean(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        predictive.epistemic_stddev() ** 2 + predictive.aleatoric_stddev() ** 2, variance, rtol=1e-5
    )
    np.testing.assert_allclose(predictive.epistemic_stddev(), loc.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(numpy(predictive.distribution().variance()), variance, rtol=1e-5)


@pytest.mark.parametrize("targets", [(5,), (5, 1)])
def test_the_density_of_targets_is_that_of_the_mixture(targets):
    loc = LOGITS[..., :1]
    y = np.linspace(-3, 3, 5)
    density = scipy.stats.norm.pdf(y[:, np.newaxis], loc.astype("float64"), 0.5).mean(axis=0)[:, 0]
    predictive = bnn.Predictive(loc, NORMAL)
    np.testing.assert_allclose(predictive.log_prob(y.reshape(targets)), np.log(density), rtol=1e-5)
    log_prob = predictive.distribution().log_prob(y.reshape(5, 1).astype("float32"))
    np.testing.assert_allclose(numpy(log_prob), np.log(density), rtol=1e-5)


def test_the_distribution_of_classes_has_the_mean_probabilities():
    predictive = bnn.Predictive(LOGITS, CATEGORICAL)
    distribution = predictive.distribution()
    np.testing.assert_allclose(numpy(distribution.log_prob(LABELS)), predictive.log_prob(LABELS), rtol=1e-5)
    np.testing.assert_allclose(numpy(distribution.entropy()), predictive.entropy(), rtol=1e-5)


def test_a_mixture_of_normals_has_no_entropy_but_its_parts_do():
    predictive = bnn.Predictive(LOGITS, NORMAL)
    for method in (predictive.entropy, predictive.mutual_information):
        with pytest.raises(ValueError, match="no closed form"):
            method()
    np.testing.assert_allclose(predictive.expected_entropy(), 3 * scipy.stats.norm(scale=0.5).entropy(), rtol=1e-6)


# Parts, and errors


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [1]),
        (-1, [4]),
        (np.int64(2), [2]),
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [4, 2, 0]),
        (np.array([3, 3, 0]), [3, 3, 0]),
        (LABELS == 1, [2, 3]),
    ],
)
def test_a_part_is_the_predictive_distribution_of_some_inputs(index, expected):
    whole = bnn.Predictive(LOGITS, CATEGORICAL)
    part = whole[index]
    assert len(part) == len(expected)
    assert part.likelihood is CATEGORICAL
    np.testing.assert_array_equal(part.outputs, LOGITS[:, expected])
    np.testing.assert_allclose(part.log_prob(LABELS[expected]), whole.log_prob(LABELS)[expected], rtol=1e-6)


def test_there_are_as_many_parts_as_inputs():
    predictive = bnn.Predictive(LOGITS, CATEGORICAL)
    assert len(predictive) == len(list(predictive)) == 5
    assert repr(predictive) == "Predictive(7 draws for 5 inputs, Categorical)"
    with pytest.raises(IndexError):
        predictive[5]


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (0, 3, 2)])
def test_outputs_of_another_rank_get_one_clear_error(shape):
    with pytest.raises(ValueError, match=r"\[draws, n, outputs\], .*Received: outputs of shape"):
        bnn.Predictive(np.zeros(shape), CATEGORICAL)


@pytest.mark.parametrize(
    ("likelihood", "y", "message"),
    [
        (CATEGORICAL, [0, 1], r"one target for each of 5 inputs. Received: shape \(2,\)"),
        (CATEGORICAL, 1, r"one target for each of 5 inputs. Received: shape \(\)"),
        (CATEGORICAL, [0, 1, 2, 3, 0], "Labels must be integers from 0 to 2. Received: 3"),
        (CATEGORICAL, [0, 1, 2, -1, 0], "Received: -1"),
        (CATEGORICAL, [0, 1, 2, 0.5, 0], "Received: 0.5"),
        (CATEGORICAL, [0, 1, 2, np.nan, 0], "Received: nan"),
        (NORMAL, np.full((5, 3), np.nan), "Targets must be finite. Received: nan"),
        (NORMAL, np.full((5, 3), -np.inf), "Received: -inf"),
        (NORMAL, np.zeros((5, 2)), r"targets of shape \[5, 3\] .* Received: targets of shape \(5, 2\)"),
        (NORMAL, np.zeros(5), r"targets of shape \[5, 3\]"),
    ],
)
def test_wrong_targets_get_one_clear_error(likelihood, y, message):
    with pytest.raises(ValueError, match=message):
        bnn.Predictive(LOGITS, likelihood).log_prob(np.array(y))


@pytest.mark.parametrize("draws", [3, 7])
def test_one_hot_labels_get_one_clear_error(draws):
    predictive = bnn.Predictive(LOGITS[:draws, :3], CATEGORICAL)
    with pytest.raises(ValueError, match=r"[Ll]abels .*Received: .*\(3, 3\)"):
        predictive.log_prob(np.eye(3))


# The draws of networks


@pytest.mark.parametrize("layer", LAYERS)
def test_a_draw_is_one_linear_function_for_all_inputs(layer):
    model = keras.Sequential([keras.Input((4,)), layer(3, use_bias=False, posterior=POSTERIOR)])
    a, b = inputs(2)
    draws = predict(model, np.stack([a, b, a + b, 3 * a]), batch_size=2).draws
    np.testing.assert_allclose(draws[:, 2], draws[:, 0] + draws[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(draws[:, 3], 3 * draws[:, 0], rtol=1e-4, atol=1e-5)
    assert draws.std(axis=0).min() > 0.1


def test_copies_of_an_input_get_the_same_draws_from_a_network_of_all_kinds():
    model = keras.Sequential(
        [
            keras.Input((5, 2)),
            layers.Conv1DFlipout(1, 2, padding="same", posterior=POSTERIOR, bias_posterior=POSTERIOR),
            keras.layers.Flatten(),
            *[layer(5, activation="tanh", posterior=POSTERIOR) for layer in LAYERS],
        ]
    )
    x = np.repeat(inputs(1, 10).reshape(1, 5, 2), 6, axis=0)
    draws = predict(model, x, batch_size=3).draws
    np.testing.assert_allclose(draws, np.repeat(draws[:, :1], 6, axis=1), rtol=1e-4, atol=1e-5)
    assert draws[:, 0].std(axis=0).min() > 0.1


@pytest.mark.parametrize("layer", LAYERS)
def test_a_shared_layer_has_the_same_weights_at_both_calls(layer):
    x = keras.Input((4,))
    shared = layer(3, use_bias=False, posterior=POSTERIOR)
    model = keras.Model(x, keras.layers.Concatenate()([shared(x), shared(2 * x)]))
    draws = predict(model, inputs()).draws
    np.testing.assert_allclose(draws[..., 3:], 2 * draws[..., :3], rtol=1e-4, atol=1e-5)
    assert draws.std(axis=0).min() > 0.1


def test_the_draws_of_a_linear_layer_have_the_moments_of_its_weights():
    num_draws = 5000
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2, bias_posterior=POSTERIOR)])
    rng = np.random.default_rng(3)
    for variables, _ in model.layers[0].random_weights.values():
        shape = variables.mean.shape
        variables.assign(rng.normal(size=shape), rng.uniform(0.2, 1.5, shape))
    (kernel, kernel_stddev), (bias, bias_stddev) = [
        (numpy(variables.read().mean), numpy(variables.read().stddev))
        for variables, _ in model.layers[0].random_weights.values()
    ]
    x = inputs(3)
    draws = predict(model, x, num_draws).draws.astype("float64")
    mean = x @ kernel + bias
    # [inputs, inputs, outputs]
    covariance = np.einsum("if,fo,jf->ijo", x, kernel_stddev**2, x) + bias_stddev**2
    variance = np.einsum("iio->io", covariance)

    np.testing.assert_array_less(
        np.abs(draws.mean(axis=0) - mean), STANDARD_ERRORS * np.sqrt(variance / num_draws) + 1e-5
    )
    centred = draws - mean
    error = np.einsum("sio,sjo->ijo", centred, centred) / num_draws - covariance
    bound = STANDARD_ERRORS * np.sqrt((variance[:, np.newaxis] * variance + covariance**2) / num_draws)
    np.testing.assert_array_less(np.abs(error), bound)
    # Neither the two outputs, which have weights of their own, nor consecutive draws are correlated.
    standardized = centred / np.sqrt(variance)
    for product in (standardized[..., 0] * standardized[..., 1], standardized[1:] * standardized[:-1]):
        assert np.abs(product.mean(axis=0)).max() < STANDARD_ERRORS / np.sqrt(len(product))


def test_seeds_repeat_the_draws_and_the_batch_size_does_not_matter():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3, bias_posterior=POSTERIOR)])
    x = inputs(7)
    draws = predict(model, x).draws
    assert draws.shape == (20, 7, 3)
    np.testing.assert_array_equal(predict(model, x).draws, draws)
    for batch_size in (3, 7):
        np.testing.assert_allclose(predict(model, x, batch_size=batch_size).draws, draws, rtol=1e-4, atol=1e-5)
    for seed in (2, -1, 2**40, np.int64(5), None, None):
        other = predict(model, x, seed=seed).draws
        assert np.abs(other - draws).min(axis=(1, 2)).max() > 0
        assert not np.isclose(other, draws, rtol=1e-3).all(axis=(1, 2)).any()
        draws = other


def test_the_global_seed_repeats_the_draws_too():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    draws = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        draws.append(predict(model, inputs(), seed=None).draws)
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).min() > 0


def test_predictions_follow_the_training():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(1, kl_weight=0.01)])
    model.compile(keras.optimizers.SGD(0.1), loss=NORMAL)
    x = inputs()
    before = bnn.predict(model, x, num_draws=20, seed=1, verbose=False).draws
    model.train_on_batch(x, np.full((4, 1), 5.0))
    after = bnn.predict(model, x, num_draws=20, seed=1, verbose=False).draws
    assert np.abs(after - before).min() > 0.01
    model.layers[0].random_weights["kernel"][0].assign(np.full((4, 1), 2.0), 0.0)
    model.layers[0].bias.assign([3.0])
    assigned = bnn.predict(model, x, num_draws=20, seed=1, verbose=False).draws
    np.testing.assert_allclose(assigned, np.broadcast_to(2 * x.sum(axis=1, keepdims=True) + 3, (20, 4, 1)), rtol=1e-5)


def test_prediction_leaves_the_model_as_it_was():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.DenseVariational(3, prior=bnn.priors.ScaleMixture(trainable=True)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            layers.DenseLocalReparameterization(2, kl_weight=0.1),
        ]
    )
    before = [numpy(variable.value).copy() for variable in model.variables]
    predict(model, inputs())
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(numpy(variable.value), value, err_msg=variable.path)
    assert model.layers[0].kl_weight is None


def test_dropout_is_off_and_a_network_without_random_weights_has_equal_draws():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    x = inputs()
    draws = predict(model, x, num_draws=3).draws
    np.testing.assert_allclose(draws, np.broadcast_to(numpy(model(x, training=False)), (3, 4, 2)), rtol=1e-5, atol=1e-6)


def test_nested_models_and_inputs_in_dicts_are_predicted():
    body = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3, use_bias=False, posterior=POSTERIOR)])
    pair = {side: keras.Input((4,), name=side) for side in ("left", "right")}
    model = keras.Model(pair, keras.layers.Subtract()([body(pair["left"]), body(pair["right"])]))
    x = {"left": inputs(5), "right": np.roll(inputs(5), 2, axis=0)}
    draws = predict(model, x, batch_size=2).draws
    difference = predict(body, x["left"] - x["right"]).draws
    np.testing.assert_allclose(draws, difference, rtol=1e-4, atol=1e-5)
    assert draws.std(axis=0).min() > 0.1


def test_a_subclassed_model_is_built_and_predicted():
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.only = layers.DenseFlipout(2)

        def call(self, x):
            return self.only(x)

    model = Network()
    draws = predict(model, np.repeat(inputs(1), 5, axis=0)).draws
    assert draws.shape == (20, 5, 2)
    np.testing.assert_allclose(draws, np.repeat(draws[:, :1], 5, axis=1), rtol=1e-4, atol=1e-5)
    assert draws.std(axis=0).min() > 0


def test_half_precision_networks_have_outputs_in_float32():
    model = keras.Sequential(
        [keras.Input((4,)), layers.DenseFlipout(3, dtype="mixed_bfloat16", posterior=POSTERIOR, use_bias=False)]
    )
    predictive = predict(model, inputs())
    assert predictive.outputs.dtype == np.float32
    reference = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3, posterior=POSTERIOR, use_bias=False)])
    reference.layers[0].random_weights["kernel"][0].mean.assign(model.layers[0].random_weights["kernel"][0].mean)
    exact = predict(reference, inputs()).outputs
    # bfloat16 has 8 bits; an output is the sum of four products of two rounded numbers.
    assert np.abs(predictive.outputs - exact).max() < 3 * 2**-8 * np.abs(exact).max()


@pytest.mark.skipif(not TENSORFLOW, reason="JAX knows no other way to compile")
def test_a_network_compiled_with_xla_is_predicted_with_xla():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2, posterior=POSTERIOR)])
    model.compile(loss=NORMAL, jit_compile=True)
    a, b = inputs(2)
    draws = predict(model, np.stack([a, b, a + b, 0 * a])).draws
    np.testing.assert_allclose(draws[:, 2], draws[:, 0] + draws[:, 1] - draws[:, 3], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(predict(model, np.stack([a, b, a + b, 0 * a])).draws, draws)
    assert draws[:, :3].std(axis=0).min() > 0.1


def test_prediction_does_not_keep_the_model_alive():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    predict(model, inputs())
    reference = weakref.ref(model)
    keras.utils.clear_session()
    del model
    gc.collect()
    assert reference() is None


def test_the_likelihood_is_the_one_that_is_given_or_the_one_of_the_model():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    loss = likelihoods.Categorical()
    model.compile(loss=loss)
    assert bnn.predict(model, inputs(), 1, verbose=False).likelihood is loss
    assert predict(model, inputs(), 1, likelihood=NORMAL).likelihood is NORMAL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_draws": 0}, "`num_draws` must be a positive integer. Received: num_draws=0"),
        ({"num_draws": -3}, "Received: num_draws=-3"),
        ({"num_draws": 2.5}, "Received: num_draws=2.5"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"batch_size": None}, "Received: batch_size=None"),
        ({"likelihood": keras.losses.MeanSquaredError()}, "`likelihood` must be a tfp_bnn.likelihoods.Likelihood"),
        ({"likelihood": None}, r"needs a likelihood: .* Received: a model with loss=None"),
        ({"x": np.zeros((0, 4))}, "`x` must hold at least one input"),
        ({"x": np.float32(3)}, "`x` must hold at least one input"),
        ({"x": []}, "`x` must hold at least one input"),
    ],
)
def test_a_wrong_argument_gets_one_clear_error(arguments, message):
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    with pytest.raises(ValueError, match=message):
        bnn.predict(model, **{"x": inputs(), "likelihood": NORMAL, **arguments}, verbose=False)


def test_a_loss_that_is_no_likelihood_gets_one_clear_error():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"needs a likelihood: .* loss='mse'"):
        bnn.predict(model, inputs(), verbose=False)


def test_a_model_that_is_not_built_has_the_draws_that_it_has_once_it_is():
    # Two tensors of weights: the second must not take the noise of the first in the next draw.
    model = keras.Sequential([layers.DenseFlipout(3), layers.DenseFlipout(2)])
    first = predict(model, inputs()).draws
    summary = bnn.summarize(model, inputs(), num_draws=20, likelihood=NORMAL, seed=1, verbose=False)
    np.testing.assert_allclose(summary.mean(), first.mean(axis=0), rtol=1e-5)
