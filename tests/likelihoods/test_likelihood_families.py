"""Likelihoods of real, of yes-or-no and of count targets: one contract for all families, SciPy in float64 the oracle.

What they share with `Categorical`, and TFP as the oracle, is in test_likelihoods.py.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, compiled, double_precision, numpy, soonest, with_gradient
from tfp_bnn import likelihoods

N, TARGETS, DRAWS = 100, 2, 7
STANDARD_ERRORS = 5
LEAST = 1e-3  # The default of `min_scale` and `min_concentration`.
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Mixture:
    """A mixture of two normals, as SciPy would have it."""

    def __init__(self, *parameters):
        logits, locs, rhos = np.stack(parameters).reshape(3, 2, *np.shape(parameters[0]))
        self.weights = scipy.special.softmax(logits, axis=0)
        self.normals = scipy.stats.norm(locs, positive(rhos))

    def logpdf(self, y):
        return scipy.special.logsumexp(np.log(self.weights) + self.normals.logpdf(y), axis=0)

    def mean(self):
        return np.sum(self.weights * self.normals.mean(), axis=0)

    def var(self):
        return np.sum(self.weights * (self.normals.var() + self.normals.mean() ** 2), axis=0) - self.mean() ** 2

    def rvs(self, random_state):
        first, second = self.normals.rvs(random_state=random_state)
        return np.where(random_state.uniform(size=first.shape) < self.weights[0], first, second)


def positive(rho):
    return LEAST + (1 - LEAST) * np.exp(np.arcsinh(rho / 2))


def rho_of(value):
    return 2 * math.sinh(math.log((value - LEAST) / (1 - LEAST)))


def negative_binomial(log_mean, rho):
    concentration = positive(rho)
    return scipy.stats.nbinom(concentration, concentration / (concentration + np.exp(log_mean)))


@dataclasses.dataclass(frozen=True)
class Family:
    """A likelihood, the SciPy distribution of its outputs for one target, and outputs to be learnt."""

    likelihood: likelihoods.Likelihood
    scipy: Callable[..., Any]
    learnt: tuple[float, ...]

    def outputs(self, *shape, targets=TARGETS):
        """Returns random outputs, [*shape, outputs]."""
        size = (*shape, len(self.learnt) * targets)
        return np.random.default_rng(0).normal(scale=2, size=size).astype("float32")

    def distribution(self, outputs):
        return self.scipy(*np.split(np.asarray(outputs, "float64"), len(self.learnt), axis=-1))

    def targets(self, outputs):
        """Returns a draw of the targets given the outputs, [..., targets]."""
        return self.distribution(outputs).rvs(random_state=np.random.default_rng(1)).astype("float32")

    def log_prob(self, outputs, y):
        distribution = self.distribution(outputs)
        log_prob = distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf
        return log_prob(np.asarray(y, "float64")).sum(axis=-1)


FAMILIES = {
    "normal": Family(likelihoods.Normal(), lambda loc, rho: scipy.stats.norm(loc, positive(rho)), (1.0, rho_of(2.0))),
    "student t": Family(
        likelihoods.StudentT(5.0), lambda loc, rho: scipy.stats.t(5.0, loc, positive(rho)), (2.0, rho_of(0.5))
    ),
    "student t, fixed scale": Family(
        likelihoods.StudentT(5.0, scale=0.7), lambda loc: scipy.stats.t(5.0, loc, 0.7), (2.0,)
    ),
    "laplace": Family(
        likelihoods.Laplace(), lambda loc, rho: scipy.stats.laplace(loc, positive(rho)), (-1.0, rho_of(0.7))
    ),
    "laplace, fixed scale": Family(likelihoods.Laplace(scale=0.7), lambda loc: scipy.stats.laplace(loc, 0.7), (-1.0,)),
    "bernoulli": Family(
        likelihoods.Bernoulli(), lambda logit: scipy.stats.bernoulli(scipy.special.expit(logit)), (0.8,)
    ),
    "poisson": Family(likelihoods.Poisson(), lambda log_rate: scipy.stats.poisson(np.exp(log_rate)), (math.log(4),)),
    "negative binomial": Family(likelihoods.NegativeBinomial(), negative_binomial, (math.log(5), rho_of(2.0))),
    "mixture": Family(likelihoods.NormalMixture(2), Mixture, (0.5, -0.5, -2.0, 2.0, rho_of(0.5), rho_of(1.0))),
}
CLOSED_ENTROPY = ("normal", "student t", "student t, fixed scale", "laplace", "laplace, fixed scale", "bernoulli")
DISCRETE = ("bernoulli", "poisson", "negative binomial")

all_families = pytest.mark.parametrize("name", FAMILIES)
discrete_families = pytest.mark.parametrize("name", DISCRETE)
# JAX compiles all with XLA.
with_xla_and_without = pytest.mark.parametrize("xla", [False, True] if TENSORFLOW else [True])


def tensor(values, dtype="float32"):
    return keras.ops.convert_to_tensor(np.asarray(values, dtype))


def gradient_of(likelihood, outputs, y):
    variable = keras.Variable(outputs)
    total = with_gradient(lambda: keras.ops.sum(likelihood.log_prob(variable.value, tensor(y))), [variable])
    return numpy(soonest(total)())[1:].reshape(np.shape(outputs))


# Beside SciPy


@all_families
def test_log_prob_mean_and_variance_equal_scipy_in_double_precision(name):
    family = FAMILIES[name]
    outputs = family.outputs(N)
    y = family.targets(outputs)
    expected = family.distribution(outputs)
    with double_precision():
        double = tensor(outputs, "float64")
        log_prob = numpy(soonest(family.likelihood.log_prob)(double, tensor(y, "float64")))
        np.testing.assert_allclose(log_prob, family.log_prob(outputs, y), rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(numpy(family.likelihood.mean(double)), expected.mean(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(numpy(family.likelihood.variance(double)), expected.var(), rtol=1e-9)


@pytest.mark.parametrize("name", CLOSED_ENTROPY)
def test_entropy_equals_scipy_in_double_precision(name):
    family = FAMILIES[name]
    outputs = family.outputs(N)
    with double_precision():
        entropy = numpy(family.likelihood.entropy(tensor(outputs, "float64")))
    np.testing.assert_allclose(entropy, family.distribution(outputs).entropy().sum(axis=-1), rtol=1e-9)


@all_families
@with_xla_and_without
def test_log_prob_equals_scipy_when_compiled_in_single_precision(name, xla):
    family = FAMILIES[name]
    outputs = family.outputs(N)
    y = family.targets(outputs)
    log_prob = numpy(compiled(family.likelihood.log_prob, xla)(tensor(outputs), tensor(y)))
    np.testing.assert_allclose(log_prob, family.log_prob(outputs, y), rtol=1e-5, atol=2e-5)


@all_families
def test_the_gradient_is_that_of_scipy(name):
    family = FAMILIES[name]
    outputs = family.outputs(N)
    y = family.targets(outputs)
    steps = 1e-5 * np.eye(outputs.shape[-1])
    slopes = [(family.log_prob(outputs + s, y) - family.log_prob(outputs - s, y)) / 2e-5 for s in steps]
    np.testing.assert_allclose(gradient_of(family.likelihood, outputs, y), np.stack(slopes, -1), rtol=1e-3, atol=1e-4)


# Extremes


@all_families
def test_outputs_of_any_size_have_finite_log_probs_and_gradients(name):
    family = FAMILIES[name]
    outputs = np.array(list(itertools.product([-1e4, -30, 0, 30, 1e4], repeat=len(family.learnt))), "float32")
    for target in (0.0, 1.0):
        y = np.full((len(outputs), 1), target, "float32")
        with double_precision():
            expected = numpy(soonest(family.likelihood.log_prob)(tensor(outputs, "float64"), tensor(y, "float64")))
        # A rate of exp(1e4) is beyond float64, too.
        representable = expected > -1e38
        assert representable.sum() >= 0.8 * len(outputs)
        kept, y = outputs[representable], y[representable]
        log_prob = numpy(soonest(family.likelihood.log_prob)(tensor(kept), tensor(y)))
        np.testing.assert_allclose(log_prob, expected[representable], rtol=2e-6, atol=1e-5)
        assert np.isfinite(gradient_of(family.likelihood, kept, y)).all()


@pytest.mark.parametrize(
    ("likelihood", "outputs", "y", "expected"),
    [
        # Far out, t of 4 degrees of freedom is 12 / |z|^5.
        (likelihoods.StudentT(4.0, 1.0), [1e30], 0, math.log(12) - 150 * math.log(10)),
        (likelihoods.StudentT(4.0), [1e10, -1e4], 0, math.log(12) - 50 * math.log(10) + 4 * math.log(positive(-1e4))),
        (likelihoods.Laplace(), [1e4, -1e4], 0, -1e4 / positive(-1e4) - math.log(2 * positive(-1e4))),
        (likelihoods.Laplace(), [0, 1e4], 0, -math.log(2 * positive(1e4))),
        (likelihoods.Bernoulli(), [-1e4], 1, -1e4),
        (likelihoods.Bernoulli(), [1e4], 1, 0),
        (likelihoods.Bernoulli(), [30], 1, -math.exp(-30)),
        (likelihoods.Poisson(), [-1e4], 3, -3e4 - math.log(6)),
        (likelihoods.Poisson(), [-1e4], 0, 0),
        (likelihoods.Poisson(), [80], 0, -math.exp(80)),
        # A concentration of 1 makes y geometric; p is 1 / (1 + exp(-1e4)).
        (likelihoods.NegativeBinomial(), [1e4, rho_of(1.0)], 0, -1e4),
        (likelihoods.NegativeBinomial(), [1e4, rho_of(1.0)], 7, -1e4),
        (likelihoods.NegativeBinomial(), [-1e4, rho_of(1.0)], 2, -2e4),
        (likelihoods.NegativeBinomial(), [0, -1e4], 0, -positive(-1e4) * math.log1p(1 / positive(-1e4))),
        (likelihoods.NormalMixture(2), [1e4, -1e4, 0, 1e4, rho_of(1.0), rho_of(1.0)], 0, -HALF_LOG_TWO_PI),
        (likelihoods.NormalMixture(2), [1e4, -1e4, 0, 1e4, rho_of(1.0), rho_of(1.0)], 1e4, -2e4 - HALF_LOG_TWO_PI),
    ],
)
def test_extremes_have_their_known_log_probs(likelihood, outputs, y, expected):
    log_prob = float(soonest(likelihood.log_prob)(tensor([outputs]), tensor([[y]]))[0])
    assert log_prob == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert np.isfinite(gradient_of(likelihood, np.array([outputs], "float32"), [[y]])).all()


def test_the_variance_of_a_mixture_keeps_its_digits_far_from_zero():
    outputs = [0, 0, 1e4 - 0.5, 1e4 + 0.5, rho_of(0.1), rho_of(0.1)]
    assert float(likelihoods.NormalMixture(2).variance(tensor([outputs]))[0, 0]) == pytest.approx(0.26, rel=1e-5)


@pytest.mark.parametrize("count", [1e2, 1e4, 1e6])
def test_the_log_prob_of_large_counts_keeps_its_digits(count):
    poisson, negative = FAMILIES["poisson"], FAMILIES["negative binomial"]
    log_rates = np.full((N, 1), math.log(count), "float32")
    y = poisson.targets(log_rates)
    log_prob = numpy(poisson.likelihood.log_prob(tensor(log_rates), tensor(y)))
    # The rounding of a logarithm, times how far counts are from their mean.
    np.testing.assert_allclose(log_prob, poisson.log_prob(log_rates, y), atol=4e-6 * math.sqrt(count))
    outputs = np.concatenate([log_rates, np.full((N, 1), 3.0, "float32")], axis=-1)
    y = negative.targets(outputs)
    log_prob = numpy(negative.likelihood.log_prob(tensor(outputs), tensor(y)))
    np.testing.assert_allclose(log_prob, negative.log_prob(outputs, y), rtol=1e-5)


@pytest.mark.parametrize("concentration", [1e4, 1e6, 1e8])
def test_a_negative_binomial_of_large_concentration_is_a_poisson(concentration):
    y = np.arange(12.0)[:, np.newaxis]
    outputs = np.tile([[math.log(4), concentration]], (12, 1))
    log_prob = numpy(likelihoods.NegativeBinomial().log_prob(tensor(outputs), tensor(y)))
    # The difference in log-probability, to first order: (y - (y - mean)^2) / (2 concentration).
    difference = (y - (y - 4) ** 2) / (2 * concentration)
    # Its terms are as large as y log(concentration).
    np.testing.assert_allclose(log_prob, (scipy.stats.poisson(4).logpmf(y) - difference)[:, 0], atol=3e-5)


@pytest.mark.parametrize("logit", [0.0, -3.0, 3.0, 20.0, -20.0, 1e4, -1e4])
def test_the_entropy_of_a_bernoulli_keeps_its_digits_however_sure_it_is(logit):
    probabilities = scipy.special.expit(np.array([logit, -logit]))
    expected = scipy.special.entr(probabilities).sum()
    likelihood = likelihoods.Bernoulli()
    assert float(likelihood.entropy(tensor([[logit]]))[0]) == pytest.approx(expected, rel=1e-6)
    assert float(likelihood.predictive_entropy(tensor([[[logit]]] * 3))[0]) == pytest.approx(expected, rel=1e-6)


# Predictions: aleatoric and epistemic, apart


@all_families
def test_the_law_of_total_variance_holds_to_rounding(name):
    family = FAMILIES[name]
    outputs = family.outputs(DRAWS, N)
    predictive = bnn.Predictive(outputs, family.likelihood)
    each = family.distribution(outputs)
    epistemic, aleatoric = each.mean().var(axis=0), each.var().mean(axis=0)
    total = (each.var() + each.mean() ** 2).mean(axis=0) - each.mean().mean(axis=0) ** 2
    np.testing.assert_allclose(predictive.epistemic_stddev() ** 2, epistemic, rtol=1e-5)
    np.testing.assert_allclose(predictive.aleatoric_stddev() ** 2, aleatoric, rtol=1e-5)
    parts = predictive.epistemic_stddev() ** 2 + predictive.aleatoric_stddev() ** 2
    np.testing.assert_allclose(parts, total, rtol=3e-6)
    np.testing.assert_allclose(parts, numpy(predictive.distribution().variance()), rtol=1e-5)


@all_families
def test_the_predictive_log_prob_is_that_of_the_mixture_of_the_draws(name):
    family = FAMILIES[name]
    outputs = family.outputs(DRAWS, N)
    y = family.targets(outputs[0])
    expected = scipy.special.logsumexp(family.log_prob(outputs, y), axis=0) - math.log(DRAWS)
    predictive = bnn.Predictive(outputs, family.likelihood)
    np.testing.assert_allclose(predictive.log_prob(y), expected, rtol=1e-5, atol=2e-5)
    log_prob = predictive.distribution().log_prob(tensor(y))
    # TFP's own rounding: it takes y / scale less loc / scale.
    np.testing.assert_allclose(numpy(log_prob), expected, rtol=1e-4, atol=1e-4)


def test_the_entropy_of_yes_or_no_is_aleatoric_and_epistemic_together():
    outputs = FAMILIES["bernoulli"].outputs(DRAWS, N, targets=1)
    probability = scipy.special.expit(outputs[..., 0].astype("float64"))
    predictive = bnn.Predictive(outputs, likelihoods.Bernoulli())
    entropy = scipy.stats.bernoulli(probability.mean(axis=0)).entropy()
    expected_entropy = scipy.stats.bernoulli(probability).entropy().mean(axis=0)
    np.testing.assert_allclose(predictive.entropy(), entropy, rtol=1e-5)
    np.testing.assert_allclose(predictive.expected_entropy(), expected_entropy, rtol=1e-5)
    np.testing.assert_allclose(predictive.mutual_information(), entropy - expected_entropy, rtol=1e-4, atol=1e-6)


def test_yes_or_no_of_two_classes_is_categorical():
    outputs = FAMILIES["bernoulli"].outputs(DRAWS, N, targets=1)
    y = np.arange(N) % 2
    one = bnn.Predictive(outputs, likelihoods.Bernoulli())
    two = bnn.Predictive(np.concatenate([0 * outputs, outputs], axis=-1), likelihoods.Categorical())
    np.testing.assert_allclose(one.mean()[:, 0], two.mean()[:, 1], rtol=1e-5)
    np.testing.assert_allclose(one.log_prob(y), two.log_prob(y), rtol=1e-5)
    np.testing.assert_allclose(one.entropy(), two.entropy(), rtol=1e-5)
    np.testing.assert_allclose(one.mutual_information(), two.mutual_information(), rtol=1e-4, atol=1e-6)


def test_draws_make_several_yes_or_no_targets_depend_on_each_other_so_there_is_no_entropy():
    outputs = FAMILIES["bernoulli"].outputs(DRAWS, N)
    with pytest.raises(ValueError, match=r"one target only. Received: 2 targets"):
        bnn.Predictive(outputs, likelihoods.Bernoulli()).entropy()


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"bernoulli"}))
def test_what_has_no_closed_form_gets_one_clear_error(name):
    family = FAMILIES[name]
    outputs, received = family.outputs(DRAWS, N), f"Received: likelihood={type(family.likelihood).__name__}"
    with pytest.raises(ValueError, match=f"The entropy of a mixture of .* has no closed form; .* {received}"):
        family.likelihood.predictive_entropy(outputs)
    if name not in CLOSED_ENTROPY:
        with pytest.raises(ValueError, match=f"The entropy of .* has no closed form; .* {received}"):
            family.likelihood.entropy(outputs)


# Training, saving


# That gradients are SciPy's, JAX shows of all families.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "normal" else pytest.mark.jax_if_thorough) for name in FAMILIES]
)
def test_a_head_learns_the_parameters_that_drew_the_data(name):
    family = FAMILIES[name]
    truth = np.tile(np.array([family.learnt]), (4000, 1))
    y = family.targets(truth)
    bias = np.random.default_rng(3).normal(scale=0.3, size=len(family.learnt))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(len(bias))])
    model.set_weights([np.zeros((1, len(bias))), bias])
    steps = 300
    decay = keras.optimizers.schedules.CosineDecay(0.1, steps)
    # The first gradients are large, and are to be forgotten.
    model.compile(keras.optimizers.Adam(decay, beta_2=0.9), loss=family.likelihood)
    x = np.zeros((len(y), 1), "float32")
    # All data are in each step, all steps in one epoch, which is quicker.
    model.fit(np.tile(x, (steps, 1)), np.tile(y, (steps, 1)), batch_size=len(y), shuffle=False, verbose=0)
    learnt = bnn.Predictive(model.predict(x[:1], verbose=0)[np.newaxis], family.likelihood)
    # The maximum of the likelihood is above the truth, by chance.
    assert model.evaluate(x, y, batch_size=len(y), verbose=0) < -family.log_prob(truth, y).mean()
    expected = family.distribution(truth[0])
    squares = np.square(y - expected.mean())
    for value, known, terms in (
        (learnt.mean(), expected.mean(), y),
        (learnt.aleatoric_stddev() ** 2, expected.var(), squares),
    ):
        np.testing.assert_allclose(value[0], known, atol=STANDARD_ERRORS * terms.std() / math.sqrt(len(y)))


@all_families
def test_a_compiled_model_is_saved_and_loaded_with_its_likelihood(name, tmp_path):
    family = FAMILIES[name]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(len(family.learnt) * TARGETS)])
    model.compile("adam", loss=family.likelihood)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is type(family.likelihood)
    assert loaded.loss.get_config() == family.likelihood.get_config()
    x, y = np.random.default_rng(2).normal(size=(N, 3)).astype("float32"), family.targets(family.outputs(N))
    losses = [float(m.loss(y, m(x))) for m in (model, loaded)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("name", "config"), [("Categorical", {}), ("Normal", {"scale": 0.06}), ("Normal", {"scale": None})]
)
def test_files_saved_when_all_likelihoods_were_one_module_still_load(name, config):
    saved = {
        "module": "tfp_bnn.likelihoods",
        "class_name": name,
        "config": {"name": "nll", "reduction": "sum_over_batch_size", **config},
        "registered_name": f"tfp_bnn.likelihoods>{name}",
    }
    likelihood = keras.saving.deserialize_keras_object(saved)
    assert type(likelihood) is getattr(likelihoods, name)
    assert keras.saving.serialize_keras_object(likelihood)["registered_name"] == saved["registered_name"]
    assert likelihood.get_config().items() >= config.items()


# Bad input


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if len(family.learnt) > 1])
def test_outputs_that_do_not_split_into_parameters_are_refused(name):
    family = FAMILIES[name]
    outputs = np.zeros((N, len(family.learnt) * TARGETS + 1), "float32")
    for method in (family.likelihood.mean, family.likelihood.variance, family.likelihood.distribution):
        with pytest.raises(ValueError, match=rf"outputs for each target.* Received: {outputs.shape[1]} outputs"):
            method(outputs)


@all_families
def test_targets_of_a_higher_rank_are_refused_where_they_would_broadcast(name):
    family = FAMILIES[name]
    y = np.zeros((N, 1, TARGETS), "float32")
    with pytest.raises(ValueError, match=rf"targets of shape \[{N}, {TARGETS}\] .* Received: targets of shape"):
        family.likelihood(y, family.outputs(N))
    with pytest.raises(ValueError, match=rf"targets of shape \[{N}, {TARGETS}\] .* Received: targets of shape"):
        bnn.Predictive(family.outputs(N, N), family.likelihood).log_prob(y)


@all_families
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, TARGETS + 1)])
def test_targets_of_another_number_are_refused(name, shape):
    family = FAMILIES[name]
    with pytest.raises(ValueError, match=rf"targets of shape \[{N}, {TARGETS}\] .* Received: targets of shape"):
        family.likelihood(np.zeros(shape, "float32"), family.outputs(N))


@all_families
def test_targets_that_cannot_be_had_are_refused(name):
    likelihood, outputs = FAMILIES[name].likelihood, FAMILIES[name].outputs(3, targets=1)
    impossible = [math.nan, math.inf, -math.inf, *([-1, 0.5] if name in DISCRETE else [])]
    for target in [*impossible, *([2] if name == "bernoulli" else [])]:
        with pytest.raises(ValueError, match=f"Targets must be .* Received: {target}"):
            likelihood.check_targets(outputs, np.array([0, target, 1]))
    y = np.array([[0], [1], [1]])
    assert likelihood.check_targets(outputs, y) is y


@discrete_families
@with_xla_and_without
def test_targets_that_cannot_be_had_make_the_loss_nan_and_leave_the_other_examples_alone(name, xla):
    family = FAMILIES[name]
    outputs = family.outputs(4, targets=1)
    y = np.array([1, -1, 0.5, 0], "float32")
    log_prob = numpy(compiled(family.likelihood.log_prob, xla)(tensor(outputs), tensor(y)))
    assert np.isnan(log_prob[[1, 2]]).all()
    np.testing.assert_allclose(log_prob[[0, 3]], family.log_prob(outputs[[0, 3]], y[[0, 3], np.newaxis]), rtol=1e-5)


@discrete_families
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_targets_may_be_integers(name, dtype):
    family = FAMILIES[name]
    outputs = family.outputs(N)
    y = family.targets(outputs).clip(0, 1)
    predictive = bnn.Predictive(outputs[np.newaxis], family.likelihood)
    np.testing.assert_array_equal(predictive.log_prob(y.astype(dtype)), predictive.log_prob(y))
    assert float(family.likelihood(y.astype(dtype), outputs)) == float(family.likelihood(y, outputs))


@pytest.mark.parametrize("family", [likelihoods.StudentT, likelihoods.Laplace])
@pytest.mark.parametrize("scale", [0, -1, math.inf, math.nan])
def test_a_scale_must_be_positive_and_finite(family, scale):
    with pytest.raises(ValueError, match=f"`scale` must be positive .* Received: scale={scale}"):
        family(scale=scale)


@pytest.mark.parametrize("df", [2, 0, -1, math.inf, math.nan])
def test_degrees_of_freedom_must_leave_a_variance(df):
    with pytest.raises(ValueError, match=f"`df` must be above 2.* Received: df={df}"):
        likelihoods.StudentT(df)


@pytest.mark.parametrize("num_components", [0, -1, 1.5, None])
def test_a_mixture_has_at_least_one_component(num_components):
    with pytest.raises(ValueError, match=f"a positive integer. Received: num_components={num_components}"):
        likelihoods.NormalMixture(num_components)


@pytest.mark.filterwarnings("error")
def test_a_mixture_of_one_component_is_a_normal():
    outputs = FAMILIES["normal"].outputs(N)
    y = FAMILIES["normal"].targets(outputs)
    of_one = np.concatenate([np.ones((N, TARGETS), "float32"), outputs], axis=-1)
    mixture = bnn.Predictive(of_one[np.newaxis], likelihoods.NormalMixture(1))
    normal = bnn.Predictive(outputs[np.newaxis], likelihoods.Normal())
    np.testing.assert_allclose(mixture.log_prob(y), normal.log_prob(y), rtol=1e-5)
    np.testing.assert_allclose(mixture.mean(), normal.mean(), rtol=1e-6)
    np.testing.assert_allclose(mixture.aleatoric_stddev(), normal.aleatoric_stddev(), rtol=1e-6)
