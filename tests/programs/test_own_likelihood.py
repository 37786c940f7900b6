"""Likelihoods of a user's own: the package does with them what it does with its own. SciPy is the oracle."""

import math

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, numpy, on_tensorflow_alone
from tfp_bnn.likelihoods import CountLikelihood, IndependentLikelihood, Likelihood, LocationScale

# What users write.


@keras.saving.register_keras_serializable("tests")
class Gumbel(LocationScale):
    """The largest of many: `y = loc + scale * z` with noise of density `exp(-z - exp(-z))`."""

    _log_normalizer = 0.0
    _mean_log_kernel = -np.euler_gamma - 1
    _noise_variance = math.pi**2 / 6

    def _log_kernel(self, z):
        return -z - keras.ops.exp(-z)

    def _noise_cdf(self, z):
        return np.exp(-np.exp(-z))

    def _noise_quantile(self, probability):
        return -np.log(-np.log(probability))

    def mean(self, outputs):
        loc, scale = self._parameters(outputs)
        return loc + np.euler_gamma * scale

    def _distributions(self, tfd, loc, scale):
        return tfd.Gumbel(loc, scale)


@keras.saving.register_keras_serializable("tests")
class Weibull(IndependentLikelihood):
    """Lifetimes: the outputs are the logarithms of scale and shape. It has no entropy and no distribution."""

    _num_parameters = 2
    _targets_expected = "Lifetimes must be positive."

    def _allowed(self, y):
        return (y > 0) & (y < math.inf)

    def _parameters(self, outputs):
        return tuple(keras.ops.exp(block) for block in self._blocks(outputs))

    def _log_densities(self, y, scale, shape):
        log_z = keras.ops.log(y / scale)
        return keras.ops.log(shape / scale) + (shape - 1) * log_z - keras.ops.exp(shape * log_z)

    def mean(self, outputs):
        scale, shape = map(keras.ops.convert_to_numpy, self._parameters(outputs))
        return scale * scipy.special.gamma(1 + 1 / shape)

    def variance(self, outputs):
        scale, shape = map(keras.ops.convert_to_numpy, self._parameters(outputs))
        return scale**2 * (scipy.special.gamma(1 + 2 / shape) - scipy.special.gamma(1 + 1 / shape) ** 2)

    def _cdf(self, y, scale, shape):
        return -np.expm1(-((y / scale) ** shape))

    def _quantile(self, probability, scale, shape):
        return scale * (-np.log1p(-probability)) ** (1 / shape)


@keras.saving.register_keras_serializable("tests")
class Geometric(CountLikelihood):
    """Failures before the first success; the outputs are the logarithms of the means."""

    def _parameters(self, outputs):
        return (keras.ops.convert_to_tensor(outputs),)

    def _log_densities(self, y, log_mean):
        return -y * keras.ops.softplus(-log_mean) - keras.ops.softplus(log_mean)

    def variance(self, outputs):
        return self.mean(outputs) * (1 + self.mean(outputs))

    def _cdf_of_counts(self, y, log_mean):
        return -np.expm1(-(y + 1) * np.log1p(np.exp(-log_mean)))


@keras.saving.register_keras_serializable("tests")
class Exponential(Likelihood):
    """One waiting time, of mean `exp(outputs)`: no more than what every likelihood must have."""

    def num_targets(self, num_outputs):
        return num_outputs

    def log_prob(self, outputs, y):
        y = keras.ops.cast(y, outputs.dtype)
        return keras.ops.sum(-outputs - y * keras.ops.exp(-outputs), axis=-1)

    def mean(self, outputs):
        return keras.ops.exp(outputs)

    def variance(self, outputs):
        return keras.ops.exp(2 * keras.ops.convert_to_tensor(outputs))


class ExponentialWithQuantiles(Exponential):
    def cdf(self, outputs, y):
        return -np.expm1(-y * np.exp(-outputs.astype("float64")))

    def quantile(self, outputs, probability):
        return -np.log1p(-probability) * np.exp(outputs.astype("float64"))


@keras.saving.register_keras_serializable("tests")
class Ordinal(Likelihood):
    """One of three classes in order, by where one output lies among two thresholds: McCullagh's proportional odds."""

    target_kind = "classes"

    def num_targets(self, num_outputs):
        return 1

    def mean(self, outputs):
        below = [keras.ops.sigmoid(threshold - keras.ops.convert_to_tensor(outputs)) for threshold in (-1.0, 1.0)]
        return keras.ops.concatenate([below[0], below[1] - below[0], 1 - below[1]], axis=-1)

    def variance(self, outputs):
        return self.mean(outputs) * (1 - self.mean(outputs))

    def log_prob(self, outputs, y):
        one_hot = keras.ops.one_hot(keras.ops.cast(y[..., 0], "int32"), 3)
        return keras.ops.log(keras.ops.sum(self.mean(outputs) * one_hot, axis=-1))

    def entropy_of_mean(self, mean):
        return -keras.ops.sum(mean * keras.ops.log(mean), axis=-1)

    def entropy(self, outputs):
        return self.entropy_of_mean(self.mean(outputs))

    def predicts_classes(self, num_outputs):
        return True

    def class_logits(self, outputs):
        return keras.ops.log(self.mean(outputs))

    def class_probabilities(self, mean):
        return mean


# What they get.

DRAWS, N, TARGETS = 7, 5, 2
PROBABILITIES = (0.001, 0.025, 0.5, 0.9)
LEAST = 1e-3  # The default of `min_scale`.


def gumbels(outputs):
    loc, rho = np.split(np.asarray(outputs, "float64"), 2, axis=-1)
    return scipy.stats.gumbel_r(loc, LEAST + (1 - LEAST) * np.exp(np.arcsinh(rho / 2)))


def weibulls(outputs):
    scale, shape = np.exp(np.split(np.asarray(outputs, "float64"), 2, axis=-1))
    return scipy.stats.weibull_min(shape, scale=scale)


def exponentials(outputs):
    return scipy.stats.expon(scale=np.exp(np.asarray(outputs, "float64")))


REAL = {
    "Gumbel": (Gumbel(), gumbels, 2),
    "Weibull": (Weibull(), weibulls, 2),
    "Exponential": (ExponentialWithQuantiles(), exponentials, 1),
}
of_reals = pytest.mark.parametrize(("likelihood", "distributions", "size"), REAL.values(), ids=REAL)


def outputs_of(size, draws=DRAWS, targets=TARGETS):
    return np.random.default_rng(0).normal(scale=0.7, size=(draws, N, size * targets)).astype("float32")


def root(draws, probability):
    """Returns the quantile of an equal mixture of SciPy distributions."""
    return scipy.optimize.brentq(lambda y: draws.cdf(y).mean() - probability, -100, 1e6, xtol=1e-12)


@of_reals
def test_log_probs_means_and_variances_are_those_of_scipy(likelihood, distributions, size):
    outputs = outputs_of(size)
    each = distributions(outputs)
    y = each.rvs(random_state=1)[0].astype("float32")
    predictive = bnn.Predictive(outputs, likelihood)
    expected = scipy.special.logsumexp(each.logpdf(y).sum(axis=-1), axis=0) - math.log(DRAWS)
    np.testing.assert_allclose(predictive.log_prob(y), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predictive.draws, each.mean(), rtol=1e-5)
    np.testing.assert_allclose(predictive.aleatoric_stddev() ** 2, each.var().mean(axis=0), rtol=1e-4)


@of_reals
def test_distribution_functions_and_quantiles_of_one_draw_are_those_of_scipy(likelihood, distributions, size):
    outputs = outputs_of(size)
    each = distributions(outputs)
    y = each.rvs(random_state=1)[0]
    np.testing.assert_allclose(likelihood.cdf(outputs, y), each.cdf(y), rtol=1e-5, atol=1e-6)
    for probability in PROBABILITIES:
        found = likelihood.quantile(outputs, probability)
        np.testing.assert_allclose(found, each.ppf(probability), rtol=1e-5, atol=1e-5)


@of_reals
def test_quantiles_of_a_mixture_over_draws_are_where_the_mean_distribution_function_has_the_probability(
    likelihood, distributions, size
):
    outputs = outputs_of(size)
    found = bnn.Predictive(outputs, likelihood).quantiles(PROBABILITIES)
    assert found.shape == (4, N, TARGETS)
    blocks = np.stack(np.split(outputs, size, axis=-1), axis=-1)
    for index in np.ndindex(N, TARGETS):
        expected = [root(distributions(blocks[:, *index]), probability) for probability in PROBABILITIES]
        np.testing.assert_allclose(found[:, *index], expected, rtol=1e-5, atol=1e-5)


def test_quantiles_of_counts_are_the_least_that_the_summed_probabilities_allow():
    outputs, counts = outputs_of(1) + 1, np.arange(1000).reshape(-1, 1, 1, 1)
    each = scipy.stats.geom(1 / (1 + np.exp(outputs.astype("float64"))), loc=-1)
    terms, predictive = each.pmf(counts), bnn.Predictive(outputs, Geometric())
    summed = np.cumsum(terms.mean(axis=1), axis=0)
    expected = [(summed < probability).sum(axis=0) for probability in PROBABILITIES]
    np.testing.assert_array_equal(predictive.quantiles(PROBABILITIES), expected)
    np.testing.assert_allclose(Geometric().cdf(outputs, np.full((N, TARGETS), 2.5)), each.cdf(2.5), rtol=1e-6)
    assert (Geometric().cdf(outputs, np.full((N, TARGETS), -0.5)) == 0).all()
    np.testing.assert_allclose(predictive.mean(), each.mean().mean(axis=0), rtol=1e-5)
    expected = terms[2].prod(axis=-1).mean(axis=0)
    np.testing.assert_allclose(np.exp(predictive.log_prob(np.full((N, TARGETS), 2))), expected, rtol=1e-4)


def test_a_distribution_function_that_a_subclass_defines_anew_is_heard():
    class Halved(Gumbel):
        def cdf(self, outputs, y):
            return super().cdf(outputs, 2 * y)

        def quantile(self, outputs, probability):
            return super().quantile(outputs, probability) / 2

    whole, halved = (bnn.Predictive(outputs_of(2), likelihood).quantiles((0.3,)) for likelihood in (Gumbel(), Halved()))
    np.testing.assert_allclose(2 * halved, whole, rtol=1e-9)


def test_an_entropy_that_is_defined_is_that_of_scipy_with_the_draws_and_without():
    outputs = outputs_of(2)
    expected = gumbels(outputs).entropy().sum(axis=-1).mean(axis=0)
    assert Gumbel().has_entropy
    np.testing.assert_allclose(bnn.Predictive(outputs, Gumbel()).expected_entropy(), expected, rtol=1e-5)
    np.testing.assert_allclose(summary_of(outputs, Gumbel()).expected_entropy(), expected, rtol=1e-5)


def test_a_distribution_that_is_defined_is_that_of_the_mixture():
    outputs = outputs_of(2)
    y, predictive = np.zeros((N, TARGETS), "float32"), bnn.Predictive(outputs, Gumbel())
    log_prob = predictive.distribution().log_prob(keras.ops.convert_to_tensor(y))
    np.testing.assert_allclose(numpy(log_prob), predictive.log_prob(y), rtol=1e-4)


def summary_of(outputs, likelihood):
    averages = bnn.prediction.averages.average_over_draws(np.split(outputs, len(outputs)), likelihood)
    return bnn.PredictiveSummary(averages, len(outputs), likelihood)


# Training, saving.


def model_of(likelihood, num_outputs):
    model = keras.Sequential([keras.Input((3,)), bnn.layers.DenseReparameterization(num_outputs)])
    model.compile(keras.optimizers.Adam(0.05), loss=likelihood, **UNCOMPILED)
    return model


TRAINED = [(Gumbel(), 2), (Weibull(), 2), (Geometric(), 1), (Exponential(), 1), (Ordinal(), 1)]


@pytest.mark.jax_if_thorough
@pytest.mark.parametrize(("likelihood", "num_outputs"), TRAINED, ids=[type(each).__name__ for each, _ in TRAINED])
def test_a_model_learns_predicts_and_is_saved_and_loaded(likelihood, num_outputs, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(scale=0.1, size=(64, 3)).astype("float32"), rng.integers(1, 3, size=64).astype("float32")
    model = model_of(likelihood, num_outputs)
    figures = bnn.callbacks.PredictiveMetrics(x, y, num_draws=3)
    history = model.fit(x, y, 32, epochs=5, verbose=0, callbacks=[bnn.callbacks.KLWeight(), figures]).history
    assert history["val_predictive_nll"][-1] < history["val_predictive_nll"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is type(likelihood)
    arguments = {"num_draws": 6, "seed": 1, "verbose": False}
    predictive, summary = bnn.predict(model, x, **arguments), bnn.summarize(loaded, x, y, **arguments)
    for statistic in ("mean", "epistemic_stddev", "aleatoric_stddev"):
        expected = getattr(predictive, statistic)()
        np.testing.assert_allclose(getattr(summary, statistic)(), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(summary.log_prob(), predictive.log_prob(y), rtol=1e-4, atol=1e-6)
    found = bnn.evaluate(loaded, x, y, **arguments)
    assert found["nll"] == pytest.approx(-predictive.log_prob(y).mean(), rel=1e-4)
    assert set(found) == {"nll", "accuracy" if likelihood.target_kind == "classes" else "rmse"}
    assert list(predictive.to_frame()) == list(summary.to_frame())


def test_a_scale_of_ones_own_is_held_against_the_targets():
    x, y = np.zeros((64, 3), "float32"), np.linspace(0, 1e4, 64, dtype="float32")
    with pytest.warns(UserWarning, match="standardize them"):
        model_of(Gumbel(), 2).fit(x, y, 32, verbose=0, callbacks=[bnn.callbacks.KLWeight()])


def test_a_metric_takes_it():
    outputs, y = outputs_of(2)[0], np.zeros((N, TARGETS), "float32")
    metric = bnn.metrics.NegativeLogLikelihood(Gumbel())
    metric.update_state(y, outputs)
    expected = -gumbels(outputs).logpdf(y).sum(axis=-1).mean()
    assert float(numpy(metric.result())) == pytest.approx(expected, rel=1e-5)


# Classes of one's own.


def of_order():
    outputs = np.random.default_rng(0).normal(scale=3.0, size=(DRAWS, 40, 1))
    return bnn.Predictive(outputs.astype("float32"), Ordinal())


def test_classes_of_ones_own_have_decisions_entropies_and_a_temperature():
    predictive = of_order()
    probabilities = predictive.class_probabilities()
    assert probabilities.shape == (40, 3)
    np.testing.assert_allclose(predictive.entropy(), scipy.stats.entropy(probabilities, axis=-1), rtol=1e-4)
    np.testing.assert_allclose(summary_of(predictive.outputs, Ordinal()).entropy(), predictive.entropy(), rtol=1e-4)
    assert (predictive.mutual_information() > 0).all()
    sure = probabilities.max(axis=-1) >= 0.6
    np.testing.assert_array_equal(predictive.decide(cutoff=0.6), np.where(sure, probabilities.argmax(axis=-1), -1))
    np.testing.assert_allclose(predictive.as_classes().mean(), probabilities, rtol=1e-4)
    flat = predictive.as_classes().at_temperature(1e6).mean()
    np.testing.assert_allclose(flat, np.full((40, 3), 1 / 3), rtol=1e-4)


def test_a_cutoff_and_a_temperature_can_be_calibrated():
    predictive = of_order()
    labels = predictive.class_probabilities().argmax(axis=-1)
    assert 0 <= bnn.calibrate_cutoff(predictive, labels, risk=0.5) <= 1
    labels[::4] = 1
    assert 0.01 < bnn.calibrate_temperature(predictive.as_classes(), labels) < 100


@on_tensorflow_alone
def test_figures_of_classes_are_drawn():
    predictive, labels = of_order(), np.zeros(40, int)
    assert bnn.plots.reliability({"ordinal": predictive}, labels).axes
    assert bnn.plots.predictions(np.zeros((40, 4, 4)), predictive, labels, max_images=2).axes


@on_tensorflow_alone
def test_figures_of_real_targets_are_drawn():
    predictive = bnn.Predictive(outputs_of(2, targets=1), Gumbel())
    x = np.arange(N)
    assert bnn.plots.regression(x, x, x, predictive).axes
    assert bnn.plots.observed(predictive, x).axes


# What is not defined.


@pytest.mark.parametrize("likelihood", [Exponential(), Weibull()], ids=lambda value: type(value).__name__)
def test_without_an_entropy_all_else_is_summarized_and_it_is_one_clear_error(likelihood):
    outputs, received = outputs_of(2), f"Received: likelihood={type(likelihood).__name__}"
    assert not likelihood.has_entropy
    predictive, summary = bnn.Predictive(outputs, likelihood), summary_of(outputs, likelihood)
    np.testing.assert_allclose(summary.mean(), predictive.mean(), rtol=1e-5)
    for each in (predictive, summary):
        with pytest.raises(ValueError, match=f"no closed form.*{received}"):
            each.expected_entropy()
        with pytest.raises(ValueError, match=received):
            each.entropy()


def test_without_the_entropy_of_its_noise_a_family_has_none():
    class Untold(Gumbel):
        _mean_log_kernel = None

    assert not Untold().has_entropy
    with pytest.raises(ValueError, match=r"no closed form.*Received: likelihood=Untold"):
        Untold().entropy(outputs_of(2))


def test_what_has_no_quantiles_is_one_clear_error():
    class OfUnknownNoise(LocationScale):
        _log_normalizer, _noise_variance = Gumbel._log_normalizer, Gumbel._noise_variance
        _log_kernel = Gumbel._log_kernel

    for likelihood in (Exponential(), Ordinal(), OfUnknownNoise()):
        name = type(likelihood).__name__
        with pytest.raises(ValueError, match=f"`quantile` is not defined.*Received: likelihood={name}"):
            bnn.Predictive(outputs_of(2), likelihood).quantiles((0.5,))
        with pytest.raises(ValueError, match=f"`cdf` is not defined.*Received: likelihood={name}"):
            likelihood.cdf(outputs_of(2), np.zeros((N, TARGETS)))


@pytest.mark.parametrize("likelihood", [Exponential(), Weibull()], ids=lambda value: type(value).__name__)
def test_without_a_distribution_there_is_none_of_the_mixture(likelihood):
    with pytest.raises(ValueError, match=r"`distribution` is not defined.*Received: likelihood="):
        bnn.Predictive(outputs_of(2), likelihood).distribution()


def test_classes_without_logits_are_one_clear_error():
    class WithoutLogits(Ordinal):
        class_logits = Likelihood.class_logits

    predictive = bnn.Predictive(of_order().outputs, WithoutLogits())
    with pytest.raises(ValueError, match=r"`class_logits` is not defined.*Received: likelihood=WithoutLogits"):
        predictive.as_classes()
    with pytest.raises(ValueError, match=r"take `as_classes\(\)` first.*Received: likelihood=Ordinal"):
        of_order().at_temperature(2.0)


def test_targets_that_cannot_be_had_are_an_error():
    with pytest.raises(ValueError, match=r"Targets must be finite. Received: nan"):
        bnn.Predictive(outputs_of(1), Exponential()).log_prob(np.full((N, TARGETS), np.nan))
    with pytest.raises(ValueError, match=r"Lifetimes must be positive. Received: -1"):
        bnn.Predictive(outputs_of(2), Weibull()).log_prob(np.full((N, TARGETS), -1.0))


@pytest.mark.parametrize("method", ["num_targets", "log_prob", "mean", "variance"])
def test_what_must_be_defined_is_asked_for_when_it_is_made(method):
    incomplete = type("Incomplete", (Exponential,), {method: getattr(Likelihood, method)})
    with pytest.raises(TypeError, match=f"abstract method '?{method}"):
        incomplete()
