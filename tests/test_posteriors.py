"""Posteriors: where they start, what they draw, how likely they say the draws are."""

import math

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

from tests.support.on_backends import TENSORFLOW, needs_tfp
from tfp_bnn import kl, layers, posteriors, priors
from tfp_bnn._backend import tfp as tfp_of_backend
from tfp_bnn._numerics.noise import Noise, counted

tfd = tfp.distributions
STANDARD_ERRORS = 5


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def create(posterior, shape, name="kernel"):
    return posterior.create(keras.layers.Layer().add_weight, name, shape)


def random_weights(shape, seed=0):
    """Returns a Gaussian posterior of random means and standard deviations, and these two."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=shape).astype("float32")
    stddev = rng.uniform(0.1, 2, shape).astype("float32")
    tensors = keras.ops.convert_to_tensor(mean), keras.ops.convert_to_tensor(stddev)
    return posteriors.NormalWeights(*tensors), mean, stddev


# Where they start


@pytest.mark.parametrize("stddev", [1e-6, 1e-3, 0.05, 1, 20, 1e3])
def test_the_standard_deviation_starts_at_the_argument(stddev):
    for shape in [(3, 4), (5,)]:
        weights = create(posteriors.MeanFieldNormal(stddev), shape).read()
        # The rho of 1e-6 is near -14; to round it to float32 changes softplus(rho) by up to 5e-7 of its value.
        np.testing.assert_allclose(numpy(weights.stddev), np.full(shape, stddev), rtol=2e-6)


def test_means_of_kernels_follow_the_initializer_and_those_of_biases_are_zero():
    posterior = posteriors.MeanFieldNormal(mean_initializer=keras.initializers.Constant(0.25))
    np.testing.assert_array_equal(numpy(create(posterior, (3, 4)).read().mean), np.full((3, 4), 0.25))
    np.testing.assert_array_equal(numpy(create(posterior, (4,), "bias").read().mean), np.zeros(4))


def test_means_are_he_normal_by_default():
    mean = numpy(create(posteriors.MeanFieldNormal(), (50, 400)).read().mean)
    stddev = math.sqrt(2 / 50)
    assert abs(mean.mean()) < STANDARD_ERRORS * stddev / math.sqrt(mean.size)
    assert abs(mean.std() / stddev - 1) < STANDARD_ERRORS / math.sqrt(2 * mean.size)
    # Of a truncated normal: none beyond two of the standard deviations before the cut.
    assert np.abs(mean).max() < 2 * stddev / 0.8796 * 1.001


def test_one_recipe_gives_every_tensor_fresh_means_and_variables_of_its_own():
    posterior = posteriors.MeanFieldNormal()
    first, second = (create(posterior, (3, 4)) for _ in range(2))
    before = numpy(second.read().mean)
    assert not np.isin(numpy(first.read().mean), before).any()
    first.assign(7.0, 0.5)
    np.testing.assert_array_equal(numpy(second.read().mean), before)


def test_variables_are_named_after_the_weights_and_trained():
    layer = keras.layers.Layer()
    posteriors.MeanFieldNormal().create(layer.add_weight, "kernel", (3, 4))
    assert [variable.name for variable in layer.trainable_variables] == ["kernel_mean", "kernel_rho"]
    assert {tuple(variable.shape) for variable in layer.variables} == {(3, 4)}


def test_a_layer_that_has_the_means_already_gives_them_and_the_rest_starts_there():
    means, asked = keras.Variable(np.full((3, 4), 0.5, "float32")), []

    def add_weight(name, **kwargs):
        asked.append(name)
        return means if name == "kernel_mean" else keras.layers.Layer().add_weight(name=name, **kwargs)

    variables = posteriors.MeanFieldNormal(relative_stddev=0.1).create(add_weight, "kernel", (3, 4))
    assert asked == ["kernel_mean", "kernel_rho"]
    assert variables.mean is means
    np.testing.assert_allclose(numpy(variables.read().stddev), np.full((3, 4), 0.05), rtol=1e-5)


def relative(mean, share=0.1):
    """Returns where standard deviations start that are relative to their means."""
    return share * np.maximum(np.abs(mean), 0.01 * np.sqrt(np.mean(np.square(mean, dtype="float64"))))


def test_the_standard_deviation_can_start_at_a_share_of_the_mean():
    initializer = keras.initializers.Constant([[0.0, 1e-3, -1.0, 5.0], [-100.0, 0.3, 2.0, 1e4]])
    weights = create(posteriors.MeanFieldNormal(0.02, initializer, relative_stddev=0.1), (2, 4)).read()
    np.testing.assert_allclose(numpy(weights.stddev), relative(numpy(weights.mean)), rtol=2e-6)
    # A bias's means are all 0.
    bias = create(posteriors.MeanFieldNormal(0.02, initializer, relative_stddev=0.1), (4,), "bias").read()
    np.testing.assert_allclose(numpy(bias.stddev), np.full(4, 0.02), rtol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_variables_whose_values_come_later_start_the_same(dtype):
    layer = layers.DenseReparameterization(4, posterior=posteriors.MeanFieldNormal(relative_stddev=0.1), dtype=dtype)
    with keras.StatelessScope():
        layer.build((None, 3))
    weights = layer.random_weights["kernel"][0].read()
    assert numpy(weights.mean).std() > 0
    np.testing.assert_allclose(numpy(weights.stddev), relative(numpy(weights.mean)), rtol=2e-6)


@pytest.mark.parametrize("share", [None, 0.1])
@pytest.mark.parametrize("pruned", [False, True])
def test_variables_can_be_started_at_given_means(share, pruned):
    posterior = posteriors.MeanFieldNormal(0.02, relative_stddev=share)
    posterior = posteriors.Pruned(posterior) if pruned else posterior
    variables = create(posterior, (2, 3))
    mean = np.array([1.0, -0.2, 0.0])
    posterior.start_at(variables, mean)
    expected = np.full((2, 3), 0.02) if share is None else np.tile(relative(mean), (2, 1))
    if pruned:
        kept = [[1, 0, 1], [1, 1, 0]]
        variables.kept.assign(kept)
        posterior.start_at(variables, mean)
        expected, mean = expected * kept, mean * kept
    weights = variables.read()
    np.testing.assert_allclose(numpy(weights.mean), np.broadcast_to(mean, (2, 3)), rtol=1e-6)
    np.testing.assert_allclose(numpy(weights.stddev), expected, rtol=2e-6)


def test_only_variables_of_a_recipe_s_own_can_be_started():
    normal = posteriors.MeanFieldNormal()
    pruned = posteriors.Pruned(normal)
    with pytest.raises(ValueError, match=r"must be PrunedVariables, .* Received: .*NormalVariables"):
        pruned.start_at(create(normal, (2, 3)), 0.0)
    with pytest.raises(ValueError, match=r"must be NormalVariables, .* Received: .*PrunedVariables"):
        normal.start_at(create(pruned, (2, 3)), 0.0)


def test_a_recipe_without_such_a_start_says_so():
    class Other(posteriors.Posterior):
        def create(self, add_weight, name, shape):
            return posteriors.MeanFieldNormal().create(add_weight, name, shape)

    with pytest.raises(ValueError, match=r"cannot start at given means. Received: .*Other"):
        Other().start_at(create(Other(), (2, 3)), 0.0)


# What they draw


def test_draws_have_the_mean_and_variance_of_the_posterior():
    weights, mean, stddev = random_weights((4, 3))
    noise = Noise(keras.random.SeedGenerator(1).next)
    # One tensor holds all the draws: repeated means, repeated standard deviations.
    draws = 100_000
    repeated = posteriors.NormalWeights(
        *(keras.ops.tile(t[None], (draws, 1, 1)) for t in (weights.mean, weights.stddev))
    )
    values = numpy(repeated.sample(noise).value).astype("float64")
    errors = (values.mean(axis=0) - mean) / stddev * math.sqrt(draws)
    assert np.abs(errors).max() < STANDARD_ERRORS
    errors = (((values - mean) / stddev) ** 2 - 1).mean(axis=0) * math.sqrt(draws / 2)
    assert np.abs(errors).max() < STANDARD_ERRORS
    correlations = np.corrcoef(values.reshape(draws, -1).T)[np.triu_indices(12, 1)] * math.sqrt(draws)
    assert np.abs(correlations).max() < STANDARD_ERRORS


def test_every_draw_is_another():
    weights, *_ = random_weights((4, 3))
    noise = Noise(keras.random.SeedGenerator(1).next)
    first, second = (numpy(weights.sample(noise).value) for _ in range(2))
    assert not np.isin(first, second).any()


@pytest.mark.parametrize("shape", [(), (7,), (4, 3), (3, 3, 2, 5)])
def test_the_log_probability_of_a_draw_equals_tfp(shape):
    weights, mean, stddev = random_weights(shape)
    value, log_prob, _ = weights.sample(Noise(keras.random.SeedGenerator(1).next))
    assert tuple(value.shape) == shape
    assert tuple(log_prob.shape) == ()
    reference = tfd.Normal(mean.astype("float64"), stddev.astype("float64"))
    expected = reference.log_prob(numpy(value).astype("float64")).numpy().sum()
    assert float(log_prob) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_log_probability_is_exact_however_small_the_standard_deviation_beside_the_mean():
    stddev, shape = 1e-6, (200,)
    weights = posteriors.NormalWeights(keras.ops.full(shape, 10.0), keras.ops.full(shape, stddev))
    seed = keras.ops.convert_to_tensor([1, 2], "int32")
    eps = numpy(counted(seed).normal(shape)).astype("float64")
    expected = np.sum(-0.5 * eps**2 - math.log(stddev) - 0.5 * math.log(2 * math.pi))
    assert float(weights.sample(counted(seed)).log_prob) == pytest.approx(expected, rel=1e-6)


def test_a_perturbation_is_the_draw_less_the_mean():
    weights, mean, _ = random_weights((4, 3))
    seed = keras.ops.convert_to_tensor([1, 2], "int32")
    sample, perturbation = weights.sample(counted(seed)), weights.perturbation(counted(seed))
    np.testing.assert_allclose(numpy(perturbation.value) + mean, numpy(sample.value), rtol=1e-6)
    assert float(perturbation.log_prob) == float(sample.log_prob)


def test_gradients_of_a_draw_are_those_of_mean_plus_stddev_times_eps():
    variables = create(posteriors.MeanFieldNormal(), (4, 3))
    variables.assign(0.5, np.linspace(0.1, 3, 12).reshape(4, 3))
    seed = keras.ops.convert_to_tensor([1, 2], "int32")
    eps = numpy(counted(seed).normal((4, 3)))
    trained = [variables.mean, variables.rho]
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = tf.reduce_sum(variables.read().sample(counted(seed)).value)
        of_mean, of_rho = tape.gradient(total, [variable.value for variable in trained])
    else:
        import jax

        def total(values):
            with keras.StatelessScope(state_mapping=list(zip(trained, values, strict=True))):
                return variables.read().sample(counted(seed)).value.sum()

        of_mean, of_rho = jax.grad(total)([variable.value for variable in trained])
    np.testing.assert_array_equal(numpy(of_mean), np.ones((4, 3)))
    sigmoid = 1 / (1 + np.exp(-numpy(variables.rho.value).astype("float64")))
    np.testing.assert_allclose(numpy(of_rho), eps * sigmoid, rtol=1e-5)


# Reading and assigning


def test_what_is_assigned_is_read():
    variables = create(posteriors.MeanFieldNormal(), (2, 5))
    mean = np.linspace(-3, 3, 10).reshape(2, 5)
    stddev = np.geomspace(1e-6, 1e3, 10).reshape(2, 5)
    variables.assign(mean, stddev)
    weights = variables.read()
    np.testing.assert_allclose(numpy(weights.mean), mean, rtol=1e-6)
    np.testing.assert_allclose(numpy(weights.stddev), stddev, rtol=2e-6)


def test_what_is_assigned_broadcasts():
    variables = create(posteriors.MeanFieldNormal(), (2, 3))
    variables.assign([1.0, 2.0, 3.0], 0.5)
    np.testing.assert_array_equal(numpy(variables.read().mean), [[1, 2, 3]] * 2)
    np.testing.assert_allclose(numpy(variables.read().stddev), np.full((2, 3), 0.5), rtol=1e-6)


def test_a_standard_deviation_of_zero_can_be_assigned():
    variables = create(posteriors.MeanFieldNormal(), (2, 3))
    variables.assign(1.5, 0.0)
    sample = variables.read().sample(Noise(keras.random.SeedGenerator(1).next))
    np.testing.assert_array_equal(numpy(sample.value), np.full((2, 3), 1.5))


def test_the_distribution_is_tfp_s_normal():
    weights, mean, stddev = random_weights((4, 3))
    distribution = weights.distribution()
    assert type(distribution).__name__ == "Normal"
    np.testing.assert_allclose(numpy(distribution.mean()), mean)
    np.testing.assert_allclose(numpy(distribution.stddev()), stddev)


def test_softplus_of_its_inverse_is_the_identity():
    values = np.concatenate([np.geomspace(1e-300, 1e4, 400), [708.0, 1e300]])
    rho = posteriors.softplus_inverse(values)
    np.testing.assert_allclose(np.logaddexp(0, rho), values, rtol=1e-12)
    assert posteriors.softplus_inverse(0.0) == -math.inf


# Given as functions that return TFP distributions


class TrainedNormals(keras.layers.Layer):
    """The callable of a posterior or prior function: independent normals with trained means and spreads."""

    def __init__(self, size, stddev=0.1):
        super().__init__()
        self.loc = self.add_weight(name="loc", shape=(size,), initializer=keras.initializers.RandomNormal(seed=1))
        rho = keras.initializers.Constant(float(posteriors.softplus_inverse(stddev)))
        self.rho = self.add_weight(name="rho", shape=(size,), initializer=rho)

    def call(self, inputs):
        distributions = tfp_of_backend.distributions()
        normals = distributions.Normal(keras.ops.convert_to_tensor(self.loc), keras.ops.softplus(self.rho))
        return distributions.Independent(normals, reinterpreted_batch_ndims=1)


REFERENCE_PRIOR = tfd.Normal(np.float64(0), np.float64(0.5))


def trained_normals(kernel_size, bias_size, dtype):
    return TrainedNormals(kernel_size + bias_size)


def trained_wide_normals(kernel_size, bias_size, dtype):
    return TrainedNormals(kernel_size + bias_size, stddev=0.5)


def fixed_normals(kernel_size, bias_size, dtype):
    distributions = tfp_of_backend.distributions()
    shape = (kernel_size + bias_size,)
    return distributions.Independent(distributions.Normal(keras.ops.zeros(shape), keras.ops.full(shape, 0.5)), 1)


def scalar_normals(kernel_size, bias_size, dtype):
    return tfp_of_backend.distributions().Normal(0.0, 0.5)


def dense(prior, **kwargs):
    layer = layers.DenseVariational(2, trained_normals, prior, kl_weight=1.0, **kwargs)
    layer.build((None, 3))
    return layer


def reference_posterior(layer):
    """Returns a layer's trained normals in float64."""
    loc, rho = (numpy(v.value).astype("float64") for v in (layer.posterior_source.loc, layer.posterior_source.rho))
    return tfd.Normal(loc, np.logaddexp(0, rho))


def exact_divergence(layer):
    return reference_posterior(layer).kl_divergence(REFERENCE_PRIOR).numpy().sum()


def test_the_weights_of_functions_have_the_means_of_their_distribution():
    with needs_tfp():
        layer = dense(fixed_normals)
        expected = reference_posterior(layer).loc.numpy().reshape(4, 2)
        np.testing.assert_allclose(numpy(layer.random_weights["weights"][0].read().mean), expected, rtol=1e-6)


def test_functions_are_asked_for_distributions_over_kernel_and_bias_together():
    asked = []

    def ask(kernel_size, bias_size, dtype):
        asked.append((kernel_size, bias_size, dtype))
        return fixed_normals(kernel_size, bias_size, dtype)

    def ask_trained(kernel_size, bias_size, dtype):
        asked.append((kernel_size, bias_size, dtype))
        return trained_normals(kernel_size, bias_size, dtype)

    with needs_tfp():
        for use_bias in (True, False):
            layers.DenseVariational(2, ask_trained, ask, use_bias=use_bias).build((None, 3))
        assert asked == [(6, 2, "float32")] * 2 + [(6, 0, "float32")] * 2


def test_variables_of_functions_are_tracked_once():
    with needs_tfp():
        assert len(dense(fixed_normals).trainable_variables) == 2
        both = dense(trained_normals)
        assert len(both.trainable_variables) == 4
        assert {tuple(variable.shape) for variable in both.trainable_variables} == {(8,)}


def test_the_exact_divergence_of_functions_equals_tfp():
    with needs_tfp():
        layer = dense(fixed_normals, kl_use_exact=True)
        layer(np.ones((1, 3), "float32"))
        assert float(layer.losses[0]) == pytest.approx(exact_divergence(layer), rel=1e-5)


def test_the_monte_carlo_divergence_of_functions_is_right_on_average():
    with needs_tfp():
        for prior in (fixed_normals, scalar_normals):
            layer = dense(prior)
            noise = Noise(keras.random.SeedGenerator(1).next)
            prior = layer.random_weights["weights"][1]
            samples = (layer.random_weights["weights"][0].read().sample(noise) for _ in range(100))
            draws = np.array([float(kl.monte_carlo(sample, prior)) for sample in samples])
            standard_error = draws.std() / math.sqrt(len(draws))
            assert standard_error > 0
            assert abs(draws.mean() - exact_divergence(layer)) < STANDARD_ERRORS * standard_error


def test_a_layer_adds_log_q_less_log_p_at_its_own_draw():
    with needs_tfp():
        layer = dense(fixed_normals)
        outputs = numpy(layer(np.concatenate([np.eye(3), np.zeros((1, 3))]).astype("float32"))).astype("float64")
        # The outputs for unit vectors are kernel rows plus bias, those for zeros the bias: the draw itself.
        weights = np.concatenate([outputs[:3] - outputs[3], outputs[3:]]).ravel()
        expected = reference_posterior(layer).log_prob(weights) - REFERENCE_PRIOR.log_prob(weights)
        assert float(layer.losses[0]) == pytest.approx(expected.numpy().sum(), rel=1e-4)


@pytest.mark.parametrize("kl_use_exact", [False, True])
def test_training_changes_all_variables_of_functions(kl_use_exact):
    with needs_tfp():
        layer = dense(trained_wide_normals, kl_use_exact=kl_use_exact)
        layer(np.ones((1, 3), "float32"))
        model = keras.Sequential([keras.Input((3,)), layer])
        model.compile(keras.optimizers.SGD(0.01), loss="mse")
        before = [numpy(variable.value) for variable in model.trainable_variables]
        assert len(before) == 4
        rng = np.random.default_rng(0)
        model.fit(rng.normal(size=(32, 3)), rng.normal(size=(32, 2)), batch_size=16, epochs=1, verbose=0)
        for old, variable in zip(before, model.trainable_variables, strict=True):
            assert (old != numpy(variable.value)).all()


def test_the_posterior_of_a_function_is_that_of_today():
    with needs_tfp():
        layer = dense(fixed_normals)
        layer.posterior_source.loc.assign(np.arange(8.0))
        np.testing.assert_allclose(numpy(layer.weights_posterior().mean()), np.arange(8.0))
        with pytest.raises(ValueError, match="see `weights_posterior`"):
            layer.kernel_posterior()


def test_the_exact_divergence_of_a_function_from_another_kind_of_prior_is_refused():
    with needs_tfp():
        layer = layers.DenseVariational(2, trained_normals, priors.Normal(), kl_use_exact=True)
        with pytest.raises(ValueError, match="No closed form is known"):
            layer.build((None, 3))


def test_a_function_of_a_posterior_goes_with_a_prior_of_this_package():
    with needs_tfp():
        layer = dense(priors.Normal(0.5))
        noise = Noise(keras.random.SeedGenerator(1).next)
        value, log_prob, _ = layer.random_weights["weights"][0].read().sample(noise)
        expected = float(log_prob) - tfd.Normal(0.0, 0.5).log_prob(numpy(value)).numpy().sum()
        divergence = kl.monte_carlo(posteriors.WeightSample(value, log_prob), layer.random_weights["weights"][1])
        assert float(divergence) == pytest.approx(expected, rel=1e-5)


# Configs and errors


@pytest.mark.parametrize(
    "initializer", ["he_normal", "zeros", keras.initializers.RandomNormal(mean=1.0, stddev=0.5, seed=3)]
)
def test_a_recipe_is_the_same_after_its_config(initializer):
    posterior = posteriors.MeanFieldNormal(0.02, initializer, 0.3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(posterior))
    assert type(again) is posteriors.MeanFieldNormal
    assert again is not posterior
    assert (again.initial_stddev, again.relative_stddev) == (0.02, 0.3)
    elsewhere = again.with_mean_initializer("zeros")
    assert (elsewhere.initial_stddev, elsewhere.relative_stddev) == (0.02, 0.3)
    assert type(again.mean_initializer) is type(posterior.mean_initializer)
    assert again.mean_initializer.get_config() == posterior.mean_initializer.get_config()


@pytest.mark.parametrize("stddev", [0, -0.1, math.inf, math.nan])
def test_a_recipe_needs_a_positive_finite_standard_deviation(stddev):
    message = f"`initial_stddev` must be positive and finite. Received: initial_stddev={stddev}"
    with pytest.raises(ValueError, match=message):
        posteriors.MeanFieldNormal(initial_stddev=stddev)


@pytest.mark.parametrize("share", [0, -0.1, math.inf, math.nan])
def test_a_relative_standard_deviation_is_positive_and_finite(share):
    message = f"`relative_stddev` must be positive and finite. Received: relative_stddev={share}"
    with pytest.raises(ValueError, match=message):
        posteriors.MeanFieldNormal(relative_stddev=share)


def test_a_recipe_needs_an_initializer_that_exists():
    with pytest.raises(ValueError, match="no_such_initializer"):
        posteriors.MeanFieldNormal(mean_initializer="no_such_initializer")


@pytest.mark.parametrize("initializer", [None, np.zeros((3, 2)), lambda shape, dtype: np.zeros(shape)])
def test_a_recipe_needs_an_initializer_of_keras(initializer):
    with pytest.raises(ValueError, match="`mean_initializer` must be a Keras initializer, or the name of one"):
        posteriors.MeanFieldNormal(mean_initializer=initializer)


def test_an_exact_divergence_that_tfp_does_not_know_is_refused_before_the_training():
    with needs_tfp():

        def cauchys(kernel_size, bias_size, dtype):
            of_today = tfp_of_backend.distributions()
            return of_today.Independent(of_today.Cauchy(np.zeros(kernel_size + bias_size, "float32"), 1.0), 1)

        layer = layers.DenseVariational(2, trained_normals, cauchys, kl_use_exact=True)
        with pytest.raises(ValueError, match=r"No closed form is known .* prior=Independent"):
            layer.build((None, 3))


def test_a_start_by_fan_in_is_that_of_the_inputs_of_a_unit():
    recipe = posteriors.MeanFieldNormal(initial_stddev=0.05, fan_in_stddev=0.3)
    for shape, expected in (((9, 4), 0.1), ((3, 3, 4, 8), 0.05), ((7,), 0.05)):
        weights = recipe.create(keras.layers.Layer().add_weight, "kernel", shape).read()
        np.testing.assert_allclose(weights.stddev, np.full(shape, expected), rtol=1e-5)
    assert posteriors.MeanFieldNormal.from_config(recipe.get_config()).fan_in_stddev == 0.3
    with pytest.raises(ValueError, match=r"not both\. Received: relative_stddev=0\.1, fan_in_stddev=0\.3"):
        posteriors.MeanFieldNormal(relative_stddev=0.1, fan_in_stddev=0.3)
    with pytest.raises(ValueError, match=r"`fan_in_stddev` must be positive and finite\. Received: fan_in_stddev=0"):
        posteriors.MeanFieldNormal(fan_in_stddev=0)
