"""Likelihoods: as distributions beside TFP's, and as Keras losses."""

import contextlib
import math

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

from tfp_bnn import likelihoods

TENSORFLOW = keras.backend.backend() == "tensorflow"
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(6, 4)).astype("float32")
LABELS = np.array([3, 0, 1, 1, 2, 0])
TARGETS = RNG.normal(size=(6, 2)).astype("float32")
# Name: likelihood, outputs, targets, the distribution of TFP in float64.
CASES = {
    "classes": (likelihoods.Categorical(), LOGITS, LABELS, lambda x: tfp.distributions.Categorical(logits=x)),
    "one target": (likelihoods.Normal(0.3), LOGITS[:, :1], TARGETS[:, :1], lambda x: independent(x, 0.3)),
    "two targets": (likelihoods.Normal(2), LOGITS[:, :2], TARGETS, lambda x: independent(x, 2.0)),
    "predicted scales": (
        likelihoods.Normal(),
        LOGITS,
        TARGETS,
        lambda x: independent(x[..., :2], np.logaddexp(0, x[..., 2:])),
    ),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def independent(loc, scale):
    return tfp.distributions.Independent(tfp.distributions.Normal(loc, np.broadcast_to(scale, loc.shape)), 1)


def needs_tfp():
    """Returns the context of what needs TFP: without one that knows this JAX it must raise and say what to install."""
    if TENSORFLOW:
        return contextlib.nullcontext()
    try:
        from tensorflow_probability.substrates import jax

        assert jax.distributions
    except (ImportError, AttributeError):
        return pytest.raises(ImportError, match="pip install tfp-nightly")
    return contextlib.nullcontext()


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


# Distributions


@cases
def test_log_prob_equals_tfp(case):
    likelihood, outputs, y, reference = case
    expected = reference(outputs.astype("float64")).log_prob(y)
    np.testing.assert_allclose(numpy(likelihood.log_prob(outputs, y)), expected, rtol=1e-5, atol=1e-5)


@cases
def test_log_prob_takes_the_outputs_of_many_draws(case):
    likelihood, outputs, y, reference = case
    draws = np.stack([outputs, -outputs, 0.5 * outputs])
    log_prob = numpy(likelihood.log_prob(draws, y))
    assert log_prob.shape == (3, 6)
    np.testing.assert_allclose(log_prob, reference(draws.astype("float64")).log_prob(y), rtol=1e-5, atol=1e-5)


@cases
def test_the_entropy_equals_tfp(case):
    likelihood, outputs, _, reference = case
    expected = reference(outputs.astype("float64")).entropy()
    np.testing.assert_allclose(numpy(likelihood.entropy(outputs)), expected, rtol=1e-5, atol=1e-6)


@cases
def test_mean_and_variance_equal_tfp(case):
    likelihood, outputs, _, reference = case
    reference = reference(outputs.astype("float64"))
    if isinstance(likelihood, likelihoods.Categorical):  # those of the indicators of the classes
        probabilities = reference.probs_parameter().numpy()
        mean, variance = probabilities, probabilities * (1 - probabilities)
    else:
        mean, variance = reference.mean(), reference.variance()
    np.testing.assert_allclose(numpy(likelihood.mean(outputs)), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(numpy(likelihood.variance(outputs)), variance, rtol=1e-5, atol=1e-6)


@cases
def test_the_distribution_is_the_one_of_tfp(case):
    likelihood, outputs, y, reference = case
    with needs_tfp():
        distribution = likelihood.distribution(keras.ops.convert_to_tensor(outputs))
        reference = reference(outputs.astype("float64"))
        np.testing.assert_allclose(numpy(distribution.log_prob(y)), reference.log_prob(y), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(numpy(distribution.entropy()), reference.entropy(), rtol=1e-5, atol=1e-6)


def test_logits_of_any_size_are_taken():
    outputs = np.array([[1e4, -1e4, 0], [0, -80, -90], [-1e30, 0, 0]], "float32")
    likelihood = likelihoods.Categorical()
    np.testing.assert_allclose(numpy(likelihood.log_prob(outputs, [1, 2, 1])), [-2e4, -90, -math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(numpy(likelihood.entropy(outputs)), [0, 0, math.log(2)], atol=1e-7)


def test_predicted_scales_of_any_size_are_taken():
    outputs = np.array([[0, 0], [0, 1e4], [0, -20], [0, -1e4]], "float32")
    log_prob = numpy(likelihoods.Normal().log_prob(outputs, np.zeros((4, 1))))
    assert np.isfinite(log_prob).all()
    scales = np.logaddexp(0, outputs[:3, 1].astype("float64"))
    # The least scale, Keras's epsilon of 1e-7, is beside the third of 2e-9.
    scales[2] += keras.config.epsilon()
    np.testing.assert_allclose(log_prob[:3], -np.log(scales) - 0.5 * math.log(2 * math.pi), rtol=1e-5)


# Losses


@cases
def test_the_loss_is_the_mean_of_minus_log_prob(case):
    likelihood, outputs, y, reference = case
    expected = -np.mean(reference(outputs.astype("float64")).log_prob(y))
    assert float(likelihood(y, outputs)) == pytest.approx(expected, rel=1e-5)


@cases
def test_the_loss_weighs_examples(case):
    likelihood, outputs, y, reference = case
    weights = np.array([0, 1, 2, 0.5, 0, 3], "float32")
    expected = -np.mean(weights * reference(outputs.astype("float64")).log_prob(y))
    assert float(likelihood(y, outputs, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["classes", "one target"])
def test_targets_may_be_a_vector_or_a_column(name):
    likelihood, outputs, y, reference = CASES[name]
    expected = reference(outputs.astype("float64")).log_prob(y)
    for shape in ((6,), (6, 1)):
        log_prob = numpy(likelihood.log_prob(outputs, y.reshape(shape)))
        assert log_prob.shape == (6,)
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)
        assert float(likelihood(y.reshape(shape), outputs)) == pytest.approx(-np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("label", [-1, 4, 1000])
def test_labels_out_of_range_never_pass_for_a_number(label):
    labels = np.where(LABELS == 3, label, LABELS)
    likelihood = likelihoods.Categorical()
    if TENSORFLOW:
        import tensorflow as tf

        with pytest.raises(tf.errors.InvalidArgumentError):
            likelihood(labels, LOGITS)
        compiled = tf.function(likelihood, jit_compile=True)
        assert math.isnan(compiled(tf.constant(labels), tf.constant(LOGITS)))
    else:
        import jax

        assert math.isnan(likelihood(labels, LOGITS))
        assert math.isnan(jax.jit(likelihood)(labels, LOGITS))
        np.testing.assert_array_equal(np.isnan(likelihood.log_prob(LOGITS, labels)), LABELS == 3)
    with pytest.raises(ValueError, match=f"Labels must be integers from 0 to 3. Received: {label}"):
        likelihood.check_targets(LOGITS, labels)


@pytest.mark.parametrize("target", [math.nan, math.inf, -math.inf])
def test_targets_must_be_finite(target):
    y = np.array([[0.0], [target]])
    with pytest.raises(ValueError, match=f"Targets must be finite. Received: {target}"):
        likelihoods.Normal(1.0).check_targets(np.zeros((2, 1)), y)


@pytest.mark.parametrize(
    ("likelihood", "outputs", "y", "message"),
    [
        (likelihoods.Normal(1.0), (6, 2), (6,), r"targets of shape \[n, 2\]. Received: targets of shape \(6, 1\)"),
        (likelihoods.Normal(1.0), (6, 2), (6, 1), r"targets of shape \[n, 2\]"),
        (likelihoods.Normal(1.0), (6, 1), (6, 6), r"targets of shape \[n, 1\]"),
        (likelihoods.Normal(), (6, 4), (6, 4), r"targets of shape \[n, 2\]"),
        (likelihoods.Normal(), (6, 3), (6, 3), r"even number of outputs.* Received: outputs of shape \(6, 3\)"),
    ],
)
def test_targets_that_do_not_match_the_outputs_get_one_clear_error(likelihood, outputs, y, message):
    with pytest.raises(ValueError, match=message):
        likelihood.log_prob(np.zeros(outputs, "float32"), np.zeros(y, "float32"))


@pytest.mark.parametrize("scale", [0, -1.0, math.inf, math.nan])
def test_the_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match=f"`scale` must be positive and finite, or None. Received: scale={scale}"):
        likelihoods.Normal(scale)


def test_a_network_learns_location_and_scale():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (4000, 1)).astype("float32")
    y = (2 * x[:, 0] + 1 + 0.3 * rng.normal(size=4000)).astype("float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.1), loss=likelihoods.Normal(), jit_compile=False)
    model.fit(x, y, epochs=10, batch_size=400, verbose=0)
    outputs = model(np.zeros((1, 1)))
    # The standard errors of least squares from 4,000 examples are 0.005 and 0.003; the rest is Adam's wandering.
    np.testing.assert_allclose(numpy(likelihoods.Normal().mean(outputs)), [[1.0]], atol=0.05)
    np.testing.assert_allclose(numpy(likelihoods.Normal().variance(outputs)) ** 0.5, [[0.3]], atol=0.03)


# Configs


@pytest.mark.parametrize(
    "likelihood",
    [
        likelihoods.Categorical(name="surprise"),
        likelihoods.Categorical(reduction="sum"),
        likelihoods.Normal(0.3, name="surprise"),
        likelihoods.Normal(reduction=None),
    ],
)
def test_a_likelihood_is_the_same_after_its_config(likelihood):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(likelihood))
    assert type(again) is type(likelihood)
    assert again is not likelihood
    assert again.get_config() == likelihood.get_config()
    assert (again.name, again.reduction) == (likelihood.name, likelihood.reduction)
    y = LABELS if isinstance(likelihood, likelihoods.Categorical) else TARGETS
    outputs = LOGITS[:, :2] if getattr(likelihood, "scale", None) else LOGITS
    np.testing.assert_array_equal(numpy(again(y, outputs)), numpy(likelihood(y, outputs)))
