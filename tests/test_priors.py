"""Priors: their densities beside TFP's and SciPy's, what they learn, their configs."""

import math
import re

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow_probability as tfp

from tests.support.on_backends import TENSORFLOW, needs_tfp
from tfp_bnn import layers, posteriors, priors

tfd = tfp.distributions
WEIGHTS = np.array([-50, -3, -0.3, -1e-3, 0, 1e-5, 0.02, 0.7, 2, 1e4], "float32")
# sigma_1, sigma_2, pi.
MIXTURES = [(1.0, math.exp(-6), 0.5), (1.0, math.exp(-8), 0.25), (1.5, 0.1, 0.9), (math.exp(2), math.exp(-8), 1e-3)]
mixtures = pytest.mark.parametrize("mixture", MIXTURES)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def gradients(prior, weights):
    """Returns the gradients of the sum of a prior's log-densities: for the weights, and for each of its variables."""
    variables = prior.trainable_variables
    weights = keras.ops.convert_to_tensor(weights)
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(weights)
            total = tf.reduce_sum(prior.log_prob(weights))
        return [g.numpy() for g in tape.gradient(total, [weights, *(v.value for v in variables)])]
    import jax

    def total(weights, values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return prior.log_prob(weights).sum()

    of_weights, of_variables = jax.grad(total, argnums=(0, 1))(weights, [v.value for v in variables])
    return [np.asarray(g) for g in [of_weights, *of_variables]]


def log_components(weights, mixture):
    """Returns the logarithms of both components' shares of the density in float64, [2, weights]."""
    sigma_1, sigma_2, pi = mixture
    return np.stack(
        [
            math.log(pi) + scipy.stats.norm.logpdf(np.asarray(weights, "float64"), scale=sigma_1),
            math.log1p(-pi) + scipy.stats.norm.logpdf(np.asarray(weights, "float64"), scale=sigma_2),
        ]
    )


# The density of normals


@pytest.mark.parametrize(("scale", "loc"), [(1, 0), (0.02, -0.3), (1e3, 5)])
def test_the_normal_density_equals_tfp(scale, loc):
    log_prob = priors.Normal(scale, loc).log_prob(keras.ops.convert_to_tensor(WEIGHTS))
    assert tuple(log_prob.shape) == WEIGHTS.shape
    expected = tfd.Normal(np.float64(loc), np.float64(scale)).log_prob(WEIGHTS.astype("float64"))
    np.testing.assert_allclose(numpy(log_prob), expected, rtol=2e-6, atol=1e-6)


def test_the_normal_gives_its_distribution():
    distribution = priors.Normal(0.5, 2.0).distribution((3, 4))
    assert tuple(distribution.batch_shape) == (3, 4)
    np.testing.assert_allclose(numpy(distribution.mean()), np.full((3, 4), 2.0))
    np.testing.assert_allclose(numpy(distribution.stddev()), np.full((3, 4), 0.5))


# The density of mixtures


@mixtures
@pytest.mark.parametrize("trainable", [False, True])
def test_the_mixture_density_equals_tfp(mixture, trainable):
    sigma_1, sigma_2, pi = mixture
    prior = priors.ScaleMixture(sigma_1, sigma_2, pi, trainable=trainable)
    spread = np.array([sigma_1, sigma_2])
    reference = tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array([pi, 1 - pi])), tfd.Normal(np.zeros_like(spread), spread)
    )
    log_prob = prior.log_prob(keras.ops.convert_to_tensor(WEIGHTS))
    expected = reference.log_prob(WEIGHTS.astype("float64"))
    np.testing.assert_allclose(numpy(log_prob), expected, rtol=1e-5, atol=1e-5)


@mixtures
def test_the_mixture_density_is_right_far_out_and_at_zero(mixture):
    weights = np.concatenate([[0], np.geomspace(1e-8, 1e6, 300)]).astype("float32")
    weights = np.concatenate([-weights[::-1], weights])
    log_prob = numpy(priors.ScaleMixture(*mixture).log_prob(keras.ops.convert_to_tensor(weights)))
    expected = scipy.special.logsumexp(log_components(weights, mixture), axis=0)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)


@mixtures
def test_the_mixture_density_integrates_to_one(mixture):
    points = np.geomspace(1e-9, 50 * mixture[0], 200_001)
    weights = keras.ops.convert_to_tensor(points.astype("float32"))
    density = np.exp(numpy(priors.ScaleMixture(*mixture).log_prob(weights)).astype("float64"))
    below = 1e-9 * density[0]
    assert 2 * (np.trapezoid(density, points) + below) == pytest.approx(1, abs=1e-5)


@mixtures
def test_the_gradient_of_the_mixture_density_is_right_however_far_out(mixture):
    weights = np.concatenate([WEIGHTS, np.geomspace(1e-6, 1e6, 50)]).astype("float32")
    components = log_components(weights, mixture)
    shares = np.exp(components - scipy.special.logsumexp(components, axis=0))
    expected = -(shares / np.square(mixture[:2])[:, np.newaxis]).sum(axis=0) * weights
    # Between the components the gradient is known as well as float32 knows the log-odds, numbers of about 10.
    np.testing.assert_allclose(gradients(priors.ScaleMixture(*mixture), weights)[0], expected, rtol=1e-4)


def test_the_density_of_python_numbers_is_taken():
    assert float(priors.ScaleMixture(1.0, 0.1, 0.5).log_prob(0.0)) == pytest.approx(
        math.log(5.5 / math.sqrt(2 * math.pi))
    )


@mixtures
def test_the_mixture_gives_its_distribution(mixture):
    weights = np.broadcast_to(WEIGHTS, (2, len(WEIGHTS)))
    for trainable in (False, True):
        prior = priors.ScaleMixture(*mixture, trainable=trainable)
        distribution = prior.distribution(weights.shape)
        assert tuple(distribution.batch_shape) == weights.shape
        log_prob = distribution.log_prob(keras.ops.convert_to_tensor(weights))
        expected = scipy.special.logsumexp(log_components(weights, mixture), axis=0)
        np.testing.assert_allclose(numpy(log_prob), expected, rtol=1e-5, atol=1e-5)


@mixtures
@pytest.mark.parametrize("trainable", [False, True])
def test_a_prior_knows_its_standard_deviation(mixture, trainable):
    prior = priors.ScaleMixture(*mixture, trainable=trainable)
    assert float(prior.stddev()) == pytest.approx(float(numpy(prior.distribution().stddev())), rel=1e-5)
    assert float(priors.Normal(0.3, 1.0).stddev()) == pytest.approx(0.3)


# Yesterday's posterior


SHAPES = {"kernel": (3, 2), "bias": (2,)}


def learned_layer(**kwargs):
    """Returns a layer with random kernel and bias of random means and standard deviations, and these by name."""
    layer = layers.DenseReparameterization(2, bias_posterior=posteriors.MeanFieldNormal(), kl_weight=1.0, **kwargs)
    layer.build((None, 3))
    rng = np.random.default_rng(0)
    values = {name: (rng.normal(size=shape), rng.uniform(0.1, 2, shape)) for name, shape in SHAPES.items()}
    for name, (mean, stddev) in values.items():
        layer.random_weights[name][0].assign(mean, stddev)
    return layer, values


def test_the_prior_of_what_a_layer_has_learned_has_its_means_and_standard_deviations():
    layer, values = learned_layer()
    prior = priors.from_posterior(layer)
    assert prior.shapes == SHAPES
    assert not prior.trainable_variables
    for name, (mean, stddev) in values.items():
        of_weights = prior.of(name, SHAPES[name])
        density = numpy(of_weights.log_prob(keras.ops.full(SHAPES[name], 0.3)))
        np.testing.assert_allclose(density, scipy.stats.norm(mean, stddev).logpdf(0.3), rtol=1e-4, atol=1e-5)
        for shape in ((), SHAPES[name]):
            distribution = of_weights.distribution(shape)
            np.testing.assert_allclose(numpy(distribution.mean()), mean, rtol=1e-6)
            np.testing.assert_allclose(numpy(distribution.stddev()), stddev, rtol=1e-5)
        assert of_weights.stddev() is None  # weights differ in theirs
    # Values of its own: what the layer learns later is not in it.
    layer.random_weights["kernel"][0].assign(0.0, 1.0)
    np.testing.assert_allclose(numpy(prior.of("kernel", (3, 2)).loc), values["kernel"][0], rtol=1e-6)


def test_a_layer_counts_its_divergence_from_the_prior_of_each_tensor():
    prior = priors.EarlierPosterior(SHAPES, scale=0.7)
    prior.of("bias", (2,)).assign(0.5, 0.2)
    layer, values = learned_layer(prior=prior, bias_prior=prior)
    kernel, bias = (tfd.Normal(*values[name]) for name in SHAPES)
    expected = kernel.kl_divergence(tfd.Normal(np.float64(0), np.float64(0.7))).numpy().sum()
    expected += bias.kl_divergence(tfd.Normal(np.float64(0.5), np.float64(0.2))).numpy().sum()
    assert float(layer.kl_divergence()) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(numpy(layer.kernel_prior().stddev()), np.full((3, 2), 0.7), rtol=1e-6)


def test_the_first_rows_of_a_tensor_have_the_prior_of_these_rows():
    layer = layers.DenseVariational(2, kl_use_exact=True)
    layer.build((None, 3))
    prior = priors.from_posterior(layer)
    again = layers.DenseVariational(2, prior=prior, kl_use_exact=True)
    again.build((None, 3))
    means = numpy(layer.random_weights["weights"][0].mean)
    np.testing.assert_array_equal(numpy(again.kernel_prior().mean()), means[:-1])
    assert float(prior.log_prob(keras.ops.zeros((4, 2)))[0, 0]) == pytest.approx(
        scipy.stats.norm(means[0, 0], 0.05).logpdf(0), rel=1e-4
    )
    for shape in [(5, 2), (3, 1), (3,)]:
        with pytest.raises(ValueError, match=r"one of weights of shape \(4, 2\). Received: shape="):
            again.random_weights["weights"][1].distribution(shape)


def test_pruned_weights_are_sure_to_be_zero_in_the_prior_of_later():
    layer = layers.DenseReparameterization(2, posterior=posteriors.Pruned(posteriors.MeanFieldNormal()))
    layer.build((None, 3))
    layer.random_weights["kernel"][0].kept.assign([[1, 0]] * 3)
    prior = priors.from_posterior(layer).of("kernel", (3, 2))
    np.testing.assert_array_equal(numpy(prior.loc)[:, 1], 0)
    np.testing.assert_allclose(numpy(prior.scale), [[0.05, math.exp(-40)]] * 3, rtol=1e-5)
    assert np.isfinite(numpy(prior.log_prob(keras.ops.zeros((3, 2))))).all()


def test_the_prior_of_a_model_is_one_of_each_layer_by_name():
    inner = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(3, name="inner")])
    model = keras.Sequential([keras.Input((3,)), inner, layers.DenseFlipout(2, name="head")])
    found = priors.from_posterior(model)
    assert {name: prior.shapes for name, prior in found.items()} == {
        "inner": {"kernel": (3, 3)},
        "head": {"kernel": (3, 2)},
    }


def test_half_precision_and_double_precision_keep_what_was_learned():
    for dtype in ("mixed_bfloat16", "float64"):
        layer, values = learned_layer(dtype=dtype)
        prior = priors.from_posterior(layer)
        again, _ = learned_layer(dtype=dtype, prior=prior, bias_prior=prior)
        np.testing.assert_allclose(numpy(prior.of("bias", (2,)).loc), values["bias"][0], rtol=1e-6)
        assert float(again.kl_divergence()) == pytest.approx(0, abs=1e-6)


def test_copies_of_an_earlier_posterior_have_its_values_as_long_as_it_lives():
    layer, values = learned_layer()
    prior = priors.from_posterior(layer)
    config = keras.saving.serialize_keras_object(prior)
    again = keras.saving.deserialize_keras_object(config)
    assert again is not prior
    np.testing.assert_allclose(numpy(again.of("kernel", (3, 2)).loc), values["kernel"][0], rtol=1e-6)
    config["config"]["identity"] = "of another process"
    other = keras.saving.deserialize_keras_object(config)
    assert other.shapes == SHAPES
    np.testing.assert_array_equal(numpy(other.of("kernel", (3, 2)).scale), np.ones((3, 2)))


def test_only_a_gaussian_posterior_that_is_there_becomes_a_prior():
    with pytest.raises(ValueError, match=r"before it is built. Received: layer 'new', not built"):
        priors.from_posterior(layers.DenseFlipout(2, name="new"))
    for thing in (keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), "dense"):
        with pytest.raises(ValueError, match=r"Expected a Bayesian layer, or a model with such layers. Received: "):
            priors.from_posterior(thing)
    twins = [keras.Sequential([keras.Input((3,)), layers.DenseFlipout(3, name="twin")]) for _ in range(2)]
    with pytest.raises(ValueError, match=r"a name of its own. Received: layers twin, twin"):
        priors.from_posterior(keras.Sequential([keras.Input((3,)), *twins]))
    layer, _ = learned_layer(name="wild")
    layer.random_weights["bias"][0].assign(np.nan, 1.0)
    with pytest.raises(ValueError, match=r"must be finite; .* layer 'wild' that are not finite"):
        priors.from_posterior(layer)


def test_a_posterior_that_is_not_gaussian_becomes_no_prior():
    with needs_tfp():
        from tests.test_posteriors import fixed_normals, trained_normals

        layer = layers.DenseVariational(2, trained_normals, fixed_normals, name="of_functions")
        layer.build((None, 3))
        with pytest.raises(ValueError, match="Received: DistributionWeights in layer 'of_functions'"):
            priors.from_posterior(layer)


def test_an_earlier_posterior_is_one_of_its_own_weights_alone():
    prior = priors.EarlierPosterior(SHAPES)
    for name, shape in [("kernel", (2, 2)), ("weights", (3, 2))]:
        with pytest.raises(ValueError, match=re.escape(f"no other weights. Received: {name!r} of shape {shape}")):
            prior.of(name, shape)
    for ask in (lambda: prior.log_prob(0.0), prior.distribution):
        with pytest.raises(ValueError, match=r"about one tensor of weights. Received: 'kernel' of shape"):
            ask()
    with pytest.raises(ValueError, match=r"one tensor of weights at least. Received: shapes=\{\}"):
        priors.EarlierPosterior({})
    with pytest.raises(ValueError, match=r"`scale` must be positive and finite. Received: scale=0"):
        priors.EarlierPosterior(SHAPES, scale=0)


# What is learned


@mixtures
@pytest.mark.parametrize("trainable", [False, True])
def test_the_parameters_start_at_the_arguments(mixture, trainable):
    prior = priors.ScaleMixture(*mixture, trainable=trainable)
    np.testing.assert_allclose([float(p) for p in (prior.sigma_1, prior.sigma_2, prior.pi)], mixture, rtol=1e-6)


def test_a_learned_mixture_has_three_variables_and_a_fixed_prior_none():
    assert len(priors.ScaleMixture(trainable=True).trainable_variables) == 3
    assert not priors.ScaleMixture().variables
    assert not priors.Normal().variables


def test_a_fixed_mixture_stays_fixed_and_a_learned_one_learned_after_freezing_and_thawing():
    for trainable in (False, True):
        prior = priors.ScaleMixture(trainable=trainable)
        prior.trainable = False
        assert not prior.trainable_variables
        prior.trainable = True
        assert len(prior.trainable_variables) == 3 * trainable
        assert prior.get_config()["trainable"] is trainable


@pytest.mark.parametrize(
    ("which", "update"),
    [(slice(i, i + 1), sign * 60) for i in range(3) for sign in (1, -1)]
    + [(slice(3), 20), (slice(3), -20), (slice(1), -20)],
)
def test_a_learned_mixture_is_valid_after_wild_updates(which, update):
    prior = priors.ScaleMixture(trainable=True)
    for variable in prior.trainable_variables[which]:
        variable.assign(update)
    sigma_1, sigma_2, pi = (float(p) for p in (prior.sigma_1, prior.sigma_2, prior.pi))
    assert 0 < sigma_1 < math.inf
    assert 0 < sigma_2 < math.inf
    assert 0 <= pi <= 1
    weights = np.array([-0.5, 0.0, 1e-4, 0.3, 2.0], "float32")
    logit = float(prior.trainable_variables[2].value)
    log_shares = -np.log1p(np.exp([-logit, logit]))
    normal = scipy.stats.norm.logpdf(weights.astype("float64"), scale=np.array([[sigma_1], [sigma_2]]))
    expected = scipy.special.logsumexp(normal + log_shares[:, np.newaxis], axis=0)
    log_prob = numpy(prior.log_prob(keras.ops.convert_to_tensor(weights)))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients(prior, weights))


def test_a_mixture_learns_the_spread_of_the_weights():
    prior = priors.ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.5, trainable=True)
    weights = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.3, 0.7]), tfd.Normal([0.0, 0.0], [3.0, 0.2])).sample(
        4000, seed=(1, 2)
    )
    cost = DensityCost(prior)
    model = keras.Sequential([keras.Input((1,)), cost])
    model.compile(keras.optimizers.Adam(0.05), loss=None, jit_compile=False)
    model.fit(weights.numpy().reshape(-1, 1), epochs=12, batch_size=400, verbose=0)
    # Ten standard errors of the estimates from 4,000 weights are less than these 10%.
    np.testing.assert_allclose([float(prior.sigma_1), float(prior.sigma_2), float(prior.pi)], [3, 0.2, 0.3], rtol=0.1)


class DensityCost(keras.layers.Layer):
    def __init__(self, prior):
        super().__init__()
        self.prior = prior

    def call(self, inputs):
        self.add_loss(-keras.ops.mean(self.prior.log_prob(inputs)))
        return inputs


# Configs and errors


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (priors.Normal, {"scale": 0.3, "loc": -1.0}),
        (priors.ScaleMixture, {"sigma_1": 2.0, "sigma_2": 0.1, "pi": 0.3, "trainable": True}),
        (priors.ScaleMixture, {"sigma_1": 2.0, "sigma_2": 0.1, "pi": 0.3, "trainable": False}),
    ],
)
def test_a_prior_is_the_same_after_its_config(kind, arguments):
    prior = kind(**arguments, name="a_prior")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
    assert type(again) is kind
    assert again is not prior
    for one in (again, prior):
        assert one.get_config() == {
            "name": "a_prior",
            "identity": one.identity,
            "copied_from": one.copied_from,
            **arguments,
        }
    assert again.identity != prior.identity
    weights = keras.ops.convert_to_tensor(WEIGHTS)
    np.testing.assert_array_equal(numpy(again.log_prob(weights)), numpy(prior.log_prob(weights)))


@pytest.mark.parametrize("scale", [0, -1, math.inf, math.nan])
def test_a_normal_needs_a_positive_finite_scale(scale):
    with pytest.raises(ValueError, match=f"`scale` must be positive and finite. Received: scale={scale}"):
        priors.Normal(scale)


@pytest.mark.parametrize("loc", [math.inf, -math.inf, math.nan])
def test_a_normal_needs_a_finite_mean(loc):
    with pytest.raises(ValueError, match=f"`loc` must be finite. Received: loc={loc}"):
        priors.Normal(1.0, loc)


@pytest.mark.parametrize(
    ("sigma_1", "sigma_2"),
    [(1, 1), (0.1, 1), (1, 0), (1, -1), (math.inf, 1), (math.nan, 1), (1, math.nan), (1e30, 1), (1, 1e-30)],
)
def test_a_mixture_needs_its_standard_deviations_in_order(sigma_1, sigma_2):
    with pytest.raises(ValueError, match=f"sigma_2 < sigma_1 .* Received: {re.escape(f'{sigma_1=}, {sigma_2=}')}"):
        priors.ScaleMixture(sigma_1, sigma_2)


@pytest.mark.parametrize("pi", [0, 1, -0.1, 1.5, math.nan])
def test_a_mixture_needs_a_share_between_0_and_1(pi):
    with pytest.raises(ValueError, match=f"`pi` must lie strictly between 0 and 1. Received: pi={pi}"):
        priors.ScaleMixture(pi=pi)


def test_the_density_of_integers_is_that_of_the_same_numbers():
    prior = priors.ScaleMixture(1.0, 0.1, 0.2)
    np.testing.assert_allclose(
        numpy(prior.log_prob(np.array([0, 2]))), numpy(prior.log_prob(np.array([0.0, 2.0], "float32")))
    )
