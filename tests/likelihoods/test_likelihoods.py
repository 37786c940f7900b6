"""Likelihoods beside TFP's distributions, and as Keras losses."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.support.on_backends import TENSORFLOW
from tfp_bnn import likelihoods

tfd = tfp.distributions
MIN_SCALE = 1e-3  # The default of `min_scale`.
N = 6


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def positive(outputs):
    """Returns the predicted scale, written in another way than the package does."""
    return MIN_SCALE + (1 - MIN_SCALE) * np.exp(np.arcsinh(outputs.astype("float64") / 2))


def random_outputs(*shape):
    return np.random.default_rng(0).normal(scale=2, size=shape).astype("float32")


def random_counts(*shape):
    return np.random.default_rng(2).poisson(3, size=shape).astype("float32")


def reference_of(family, *parameters):
    """Returns independent distributions of a TFP family over the last axis, in float64."""
    return tfd.Independent(family(*np.broadcast_arrays(*(np.asarray(p, "float64") for p in parameters))), 1)


def reference_normal(loc, scale):
    return reference_of(tfd.Normal, loc, scale)


def reference_student_t(loc, scale):
    return reference_of(lambda *parameters: tfd.StudentT(5.0, *parameters), loc, scale)


def reference_poisson(log_rate):
    return reference_of(lambda log_rate: tfd.Poisson(log_rate=log_rate), log_rate)


def reference_negative_binomial(log_mean, concentration):
    def family(log_mean, concentration):
        return tfd.NegativeBinomial(concentration, logits=log_mean - np.log(concentration))

    return reference_of(family, log_mean, concentration)


def reference_mixture(logits, locs, scales):
    """The parameters are [n, components, targets]."""

    def family(logits, locs, scales):
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.Normal(locs, scales))

    return reference_of(family, *(np.swapaxes(parameter, 1, 2) for parameter in (logits, locs, scales)))


# Each: the likelihood, outputs [n, outputs], targets [n, ...], the same distribution by TFP in float64.
def cases():
    logits, outputs = random_outputs(N, 4), random_outputs(N, 2)
    targets = np.random.default_rng(1).normal(size=(N, 2)).astype("float32")
    spread = positive(outputs)
    many, counts = random_outputs(N, 3, 2, 2), random_counts(N, 2)  # Of 3 parameters, 2 components and 2 targets.
    spreads = positive(many[:, 2])
    return {
        "categorical": (
            likelihoods.Categorical(),
            logits,
            np.array([0, 1, 2, 3, 0, 1]),
            tfd.Categorical(logits=logits.astype("float64")),
        ),
        "normal": (likelihoods.Normal(0.3), outputs, targets, reference_normal(outputs, 0.3)),
        "normal, one target": (
            likelihoods.Normal(2.0),
            outputs[:, :1],
            targets[:, :1],
            reference_normal(outputs[:, :1], 2.0),
        ),
        "normal, predicted scale": (
            likelihoods.Normal(),
            outputs,
            targets[:, :1],
            reference_normal(outputs[:, :1], spread[:, 1:]),
        ),
        "normal, two targets, predicted scales": (
            likelihoods.Normal(),
            np.concatenate([targets[::-1], outputs], axis=-1),
            targets,
            reference_normal(targets[::-1], spread),
        ),
        "student t": (likelihoods.StudentT(5.0, 0.3), outputs, targets, reference_student_t(outputs, 0.3)),
        "student t, predicted scale": (
            likelihoods.StudentT(5.0),
            outputs,
            targets[:, :1],
            reference_student_t(outputs[:, :1], spread[:, 1:]),
        ),
        "laplace": (likelihoods.Laplace(0.3), outputs, targets, reference_of(tfd.Laplace, outputs, 0.3)),
        "laplace, predicted scale": (
            likelihoods.Laplace(),
            outputs,
            targets[:, :1],
            reference_of(tfd.Laplace, outputs[:, :1], spread[:, 1:]),
        ),
        "bernoulli": (
            likelihoods.Bernoulli(),
            outputs,
            np.sign(counts),
            reference_of(lambda logits: tfd.Bernoulli(logits=logits), outputs),
        ),
        "poisson": (likelihoods.Poisson(), outputs, counts, reference_poisson(outputs)),
        "poisson, one target": (
            likelihoods.Poisson(),
            outputs[:, :1],
            counts[:, :1],
            reference_poisson(outputs[:, :1]),
        ),
        "negative binomial": (
            likelihoods.NegativeBinomial(),
            np.concatenate([targets, outputs], axis=-1),
            counts,
            reference_negative_binomial(targets, spread),
        ),
        "mixture": (
            likelihoods.NormalMixture(2),
            many.reshape(N, -1),
            targets,
            reference_mixture(many[:, 0], many[:, 1], spreads),
        ),
        "mixture, one target": (
            likelihoods.NormalMixture(2),
            many[..., :1].reshape(N, -1),
            targets[:, :1],
            reference_mixture(many[:, 0, :, :1], many[:, 1, :, :1], spreads[..., :1]),
        ),
    }


def cases_but(*left_out):
    return pytest.mark.parametrize("case", [name for name in cases() if not any(part in name for part in left_out)])


all_cases = cases_but()
independent_cases = cases_but("categorical")
cases_of_closed_entropy = cases_but("poisson", "negative binomial", "mixture")
cases_of_one_target = pytest.mark.parametrize(
    "case", [name for name in cases() if name.endswith(("categorical", "one target", "predicted scale"))]
)


# Beside TFP


def reference_log_prob(reference, y):
    return reference.log_prob(y if y.dtype == int else y.astype("float64")).numpy()


@all_cases
def test_log_prob_equals_tfp(case):
    likelihood, outputs, y, reference = cases()[case]
    log_prob = likelihood.log_prob(keras.ops.convert_to_tensor(outputs), keras.ops.convert_to_tensor(y))
    assert tuple(log_prob.shape) == (N,)
    np.testing.assert_allclose(numpy(log_prob), reference_log_prob(reference, y), rtol=1e-5, atol=1e-6)


@all_cases
def test_log_prob_of_many_draws_is_that_of_each(case):
    likelihood, outputs, y, _ = cases()[case]
    draws = np.stack([outputs, -outputs, 0.5 * outputs])
    log_prob = likelihood.log_prob(keras.ops.convert_to_tensor(draws), keras.ops.convert_to_tensor(y))
    expected = [numpy(likelihood.log_prob(keras.ops.convert_to_tensor(o), y)) for o in draws]
    np.testing.assert_allclose(numpy(log_prob), expected, rtol=1e-5, atol=1e-6)


@cases_of_closed_entropy
def test_entropy_equals_tfp(case):
    likelihood, outputs, _, reference = cases()[case]
    entropy = numpy(likelihood.entropy(keras.ops.convert_to_tensor(outputs)))
    np.testing.assert_allclose(entropy, reference.entropy(), rtol=1e-5, atol=1e-6)


def test_the_entropy_of_a_certain_class_is_zero_and_that_of_no_knowledge_log_classes():
    logits = [[0, -1e4, -math.inf], [1e30, 0, 0], [0, 0, 0]]
    entropy = numpy(likelihoods.Categorical().entropy(keras.ops.convert_to_tensor(logits, "float32")))
    np.testing.assert_allclose(entropy, [0, 0, math.log(3)], rtol=1e-6)


@independent_cases
def test_mean_and_variance_equal_tfp(case):
    likelihood, outputs, _, reference = cases()[case]
    outputs = keras.ops.convert_to_tensor(outputs)
    np.testing.assert_allclose(numpy(likelihood.mean(outputs)), reference.mean(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(numpy(likelihood.variance(outputs)), reference.variance(), rtol=1e-5)


def test_mean_and_variance_of_classes_are_those_of_one_hot_labels():
    likelihood, outputs, _, reference = cases()["categorical"]
    one_hot = tfd.OneHotCategorical(logits=outputs.astype("float64"))
    np.testing.assert_allclose(numpy(likelihood.mean(outputs)), reference.probs_parameter(), rtol=1e-5)
    np.testing.assert_allclose(numpy(likelihood.mean(outputs)), one_hot.mean(), rtol=1e-5)
    np.testing.assert_allclose(numpy(likelihood.variance(outputs)), one_hot.variance(), rtol=1e-4)


@all_cases
def test_the_distribution_equals_tfp(case):
    likelihood, outputs, y, reference = cases()[case]
    distribution = likelihood.distribution(keras.ops.convert_to_tensor(outputs))
    assert tuple(distribution.batch_shape) == (N,)
    log_prob = distribution.log_prob(keras.ops.convert_to_tensor(y))
    np.testing.assert_allclose(numpy(log_prob), reference_log_prob(reference, y), rtol=1e-5, atol=1e-6)


@all_cases
def test_the_predictive_distribution_is_the_mean_of_the_draws(case):
    likelihood, outputs, y, _ = cases()[case]
    draws = np.stack([outputs, -outputs, 0.5 * outputs])
    distribution = likelihood.predictive_distribution(keras.ops.convert_to_tensor(draws))
    assert tuple(distribution.batch_shape) == (N,)
    density = np.exp(numpy(distribution.log_prob(keras.ops.convert_to_tensor(y))))
    each = [np.exp(numpy(likelihood.log_prob(keras.ops.convert_to_tensor(o), y))) for o in draws]
    np.testing.assert_allclose(density, np.mean(each, axis=0), rtol=1e-5)


def test_the_predictive_entropy_of_classes_is_that_of_the_mean_probabilities():
    draws = random_outputs(5, N, 4)
    probabilities = tf.nn.softmax(draws.astype("float64"), axis=-1).numpy().mean(axis=0)
    entropy = numpy(likelihoods.Categorical().predictive_entropy(keras.ops.convert_to_tensor(draws)))
    np.testing.assert_allclose(entropy, tfd.Categorical(probs=probabilities).entropy(), rtol=1e-5)


def test_a_mixture_of_normals_has_no_entropy():
    with pytest.raises(ValueError, match="no closed form"):
        likelihoods.Normal(1.0).predictive_entropy(np.zeros((2, 3, 1)))


# As losses


@all_cases
def test_the_loss_is_the_negative_log_prob(case):
    likelihood, outputs, y, reference = cases()[case]
    log_prob = reference_log_prob(reference, y)
    for reduction, expected in [("sum_over_batch_size", -log_prob.mean()), ("sum", -log_prob.sum()), (None, -log_prob)]:
        loss = type(likelihood).from_config({**likelihood.get_config(), "reduction": reduction})
        np.testing.assert_allclose(numpy(loss(y, outputs)), expected, rtol=1e-5)


@cases_of_one_target
def test_flat_targets_and_columns_are_the_same(case):
    likelihood, outputs, y, _ = cases()[case]
    flat, column = y.reshape(N), y.reshape(N, 1)
    draws = np.stack([outputs] * N)  # As many as inputs, so that a wrong broadcast would go unnoticed.
    for of_outputs in (outputs, draws):
        values = [numpy(likelihood.log_prob(keras.ops.convert_to_tensor(of_outputs), t)) for t in (flat, column)]
        assert values[0].shape == values[1].shape == of_outputs.shape[:-1]
        np.testing.assert_array_equal(*values)
    assert float(likelihood(flat, outputs)) == float(likelihood(column, outputs))


@all_cases
def test_sample_weights_weigh_the_loss(case):
    likelihood, outputs, y, reference = cases()[case]
    weights = np.array([0, 1, 2, 0, 0.5, 3], "float32")
    expected = -np.mean(weights * reference_log_prob(reference, y))
    assert float(likelihood(y, outputs, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)


@all_cases
def test_a_model_compiled_with_a_likelihood_reports_its_negative_log_prob(case):
    likelihood, outputs, y, reference = cases()[case]
    model = keras.Sequential([keras.Input(outputs.shape[1:]), keras.layers.Identity()])
    model.compile(loss=likelihood)
    log_prob = reference_log_prob(reference, y)
    assert model.evaluate(outputs, y, batch_size=4, verbose=0) == pytest.approx(-log_prob.mean(), rel=1e-5)
    weights = np.array([0, 1, 2, 0, 0.5, 3], "float32")
    loss = model.evaluate(outputs, y, batch_size=4, sample_weight=weights, verbose=0)
    assert loss == pytest.approx(-np.mean(weights * log_prob), rel=1e-5)


def test_the_loss_of_classes_is_finite_however_sure_the_logits():
    loss = float(likelihoods.Categorical()(np.array([1]), np.array([[1e4, 0.0]], "float32")))
    assert loss == pytest.approx(1e4)


def test_the_loss_of_a_predicted_scale_is_finite_however_small_the_scale():
    loss = float(likelihoods.Normal()(np.array([[1.0]]), np.array([[1.0, -1e4]], "float32")))
    assert loss == pytest.approx(math.log(MIN_SCALE + (1 - MIN_SCALE) * 1e-4) + 0.5 * math.log(2 * math.pi), rel=1e-5)


@pytest.mark.parametrize("label", [-1, 3, 100])
@pytest.mark.parametrize("xla", [False, True])
def test_labels_out_of_range_make_the_loss_nan_or_raise(label, xla):
    y, outputs = keras.ops.convert_to_tensor([0, label]), keras.ops.zeros((2, 3))
    loss = likelihoods.Categorical()
    if not TENSORFLOW:
        import jax

        assert math.isnan((jax.jit(loss) if xla else loss)(y, outputs))
    elif xla:
        assert math.isnan(tf.function(loss, jit_compile=True, autograph=False)(y, outputs))
    elif tf.config.list_physical_devices("GPU"):
        assert math.isnan(loss(y, outputs))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"label value of {label}"):
            loss(y, outputs)


def test_labels_out_of_range_leave_the_other_examples_alone():
    log_prob = likelihoods.Categorical().log_prob
    compiled = log_prob
    if TENSORFLOW:
        compiled = tf.function(log_prob, jit_compile=True, autograph=False)
    values = numpy(compiled(keras.ops.zeros((3, 4)), keras.ops.convert_to_tensor([1, 4, 3])))
    np.testing.assert_allclose(values, [-math.log(4), math.nan, -math.log(4)], rtol=1e-6)


# Configs and errors


@pytest.mark.parametrize("case", cases())
def test_a_likelihood_is_the_same_after_its_config(case):
    likelihood, outputs, y, _ = cases()[case]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(likelihood))
    assert type(again) is type(likelihood)
    assert again.get_config() == likelihood.get_config()
    assert float(again(y, outputs)) == float(likelihood(y, outputs))


def test_a_saved_model_is_loaded_with_its_likelihood(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("adam", loss=likelihoods.Normal(0.3))
    model.save(tmp_path / "model.keras")
    loss = keras.saving.load_model(tmp_path / "model.keras").loss
    assert type(loss) is likelihoods.Normal
    assert loss.scale == 0.3


@pytest.mark.parametrize("scale", [0, -1, math.inf, math.nan])
def test_a_normal_needs_a_positive_finite_scale(scale):
    with pytest.raises(ValueError, match=f"`scale` must be positive and finite, or None. Received: scale={scale}"):
        likelihoods.Normal(scale)


def test_a_predicted_scale_needs_an_even_number_of_outputs():
    with pytest.raises(ValueError, match=r"needs 2 outputs for each target.* Received: 3 outputs"):
        likelihoods.Normal().log_prob(np.zeros((4, 3), "float32"), np.zeros((4, 1), "float32"))


@pytest.mark.parametrize(("outputs", "targets"), [((4, 2), (4,)), ((4, 1), (4, 2)), ((4, 2), (4, 3)), ((4, 2), (4, 1))])
def test_a_normal_needs_as_many_targets_as_outputs(outputs, targets):
    with pytest.raises(ValueError, match="expects targets of shape"):
        likelihoods.Normal(1.0)(np.zeros(targets, "float32"), np.zeros(outputs, "float32"))


def test_targets_that_cannot_be_had_are_refused():
    outputs = np.zeros((3, 2), "float32")
    for label in (-1, 2, 0.5):
        with pytest.raises(ValueError, match=f"integers from 0 to 1. Received: {label}"):
            likelihoods.Categorical().check_targets(outputs, np.array([0, label, 1]))
    for target in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=f"Targets must be finite. Received: {target}"):
            likelihoods.Normal(1.0).check_targets(outputs, np.array([0, target, 1]))
    for likelihood in (likelihoods.Categorical(), likelihoods.Normal(1.0)):
        y = np.array([0, 1, 1])
        assert likelihood.check_targets(outputs, y) is y


def test_one_hot_labels_get_one_clear_error():
    with pytest.raises(
        ValueError, match=r"shape \[3\] or \[3, 1\] .* Of one-hot labels .* Received: targets of shape \(3, 2\)"
    ):
        likelihoods.Categorical()(np.eye(2)[[0, 1, 1]], np.zeros((3, 2)))
