"""Cut-offs and temperatures chosen on validation data: what they promise, and that it holds."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

# What is chosen here is chosen by NumPy and SciPy, from probabilities that other tests compare on both backends.
pytestmark = on_tensorflow_alone

CATEGORICAL = bnn.likelihoods.Categorical()
STANDARD_ERRORS = 5


def overconfident(size, seed, draws=3, temperature=2.0):
    """Returns predictions whose logits are `temperature` times too large, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=4, size=(size, 3))
    labels = (rng.random((size, 1)) > scipy.special.softmax(logits, axis=-1).cumsum(axis=-1)).sum(axis=-1)
    return bnn.Predictive(np.tile(temperature * logits, (draws, 1, 1)).astype("float32"), CATEGORICAL), labels


def share_wrong(predictive, labels, cutoff):
    decided = predictive.decide(cutoff=cutoff)
    return (decided != labels)[decided >= 0].mean()


# Cut-offs


def of_confidence(confidence):
    """Returns predictions of class 0 with these probabilities, one draw."""
    logits = np.log(confidence) - np.log1p(-confidence)
    return bnn.Predictive(np.stack([logits, np.zeros_like(logits)], axis=-1)[np.newaxis], CATEGORICAL)


def test_the_risk_is_kept_as_often_as_promised():
    # Confidence says nothing: the risk is a little too great at every cut-off, so each that is chosen breaks the
    # promise. They are of very different numbers of inputs, and so nearly independent: 64 chances to be wrong.
    risk, confidence, repetitions, size = 0.1, 0.8, 100, 2000
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(repetitions):
        predictive = of_confidence(1 - 10 ** rng.uniform(-4, np.log10(0.5), size))
        try:
            bnn.calibrate_cutoff(predictive, rng.random(size) < 1.001 * risk, risk, confidence)
        except ValueError:  # There is no such cut-off.
            continue
        broken += 1
    assert broken / repetitions <= 1 - confidence


class WithProbabilities(bnn.Predictive):
    """Predictions whose probabilities are given to the last digit."""

    def __init__(self, probabilities):
        super().__init__(np.zeros((1, *probabilities.shape)), CATEGORICAL)
        self.probabilities = probabilities

    def class_probabilities(self):
        return self.probabilities


def test_an_input_at_the_cutoff_itself_is_counted_as_it_is_decided():
    from tfp_bnn.prediction import calibration

    edge = next(cutoff for cutoff in calibration._CUTOFFS if cutoff > 0.6)
    confidence = np.repeat([edge, 0.999], [1000, 4000])
    predictive = WithProbabilities(np.stack([confidence, 1 - confidence], axis=-1))
    labels = np.r_[np.tile([0, 1], 500), np.zeros(4000, int)]
    cutoff = bnn.calibrate_cutoff(predictive, labels, risk=0.01)
    assert share_wrong(predictive, labels, cutoff) <= 0.01
    assert (predictive.decide(cutoff=edge) >= 0).all()


def test_the_least_cutoff_that_keeps_the_risk_is_taken():
    confidence = np.repeat([0.55, 0.9, 0.999], [1000, 4000, 4000])
    labels = np.r_[np.tile([0, 1], 500), np.zeros(8000, int)]
    cutoff = bnn.calibrate_cutoff(of_confidence(confidence), labels, risk=0.01)
    # Beyond the inputs that are half wrong, and no further than the next cut-off.
    assert 0.55 < cutoff < 0.66


def test_more_data_classifies_more_and_more_risk_too():
    def coverage(size, risk):
        cutoff = bnn.calibrate_cutoff(*overconfident(size, seed=0), risk=risk)
        return (overconfident(5000, seed=1)[0].decide(cutoff=cutoff) >= 0).mean()

    assert coverage(20_000, 0.02) > coverage(2500, 0.02) + 0.02
    assert coverage(5000, 0.1) > coverage(5000, 0.02) + 0.1


def test_a_network_that_is_always_right_refuses_nothing():
    labels = np.arange(3000) % 3
    predictive = bnn.Predictive(np.eye(3)[labels][np.newaxis] * 5, CATEGORICAL)
    assert bnn.calibrate_cutoff(predictive, labels) == 0.0


def test_the_bound_is_that_of_clopper_and_pearson():
    from tfp_bnn.prediction import calibration

    mistakes, trials, level = np.array([0, 3, 10, 5]), np.array([50, 200, 1000, 5]), 0.01
    expected = [
        scipy.stats.binomtest(k, n, alternative="less").proportion_ci(1 - level, method="exact").high
        for k, n in zip(mistakes.tolist(), trials.tolist(), strict=True)
    ]
    np.testing.assert_allclose(calibration._upper_bounds(mistakes, trials, level), expected, rtol=1e-9)
    assert calibration._upper_bounds(np.array([0]), np.array([0]), level).tolist() == [1.0]


def test_no_guarantee_is_given_that_the_data_does_not_bear():
    labels = np.zeros(711, int)
    right = bnn.Predictive(np.tile([5.0, 0.0], (2, 711, 1)), CATEGORICAL)
    with pytest.raises(ValueError, match="Received: 711 inputs, 0 of them classified wrongly"):
        bnn.calibrate_cutoff(right, labels, risk=0.01)
    with pytest.raises(ValueError, match="Received: 2000 inputs, 2"):
        bnn.calibrate_cutoff(*overconfident(2000, seed=0), risk=1e-4)


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        ({"risk": 0.0}, "risk=0.0"),
        ({"risk": "low"}, "risk='low'"),
        ({"confidence": 1}, "confidence=1"),
        ({"y": np.zeros(3, int)}, r"shape \(3,\)"),
        ({"y": np.full(100, 3)}, "3"),
        ({"predictive": bnn.Predictive(np.zeros((2, 100, 1)), bnn.likelihoods.Normal(1.0))}, "Predictive"),
    ],
)
def test_bad_arguments_get_one_clear_error(wrong, received):
    predictive, y = overconfident(100, seed=0)
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        bnn.calibrate_cutoff(**{"predictive": predictive, "y": y, **wrong})


def test_the_promise_holds_at_the_edge_of_a_yes_or_no_target():
    # Probabilities of a sigmoid that a softmax of two classes puts on the other side of a cut-off.
    from tfp_bnn.prediction import calibration

    logits = np.log(calibration._CUTOFFS[1:] / (1 - calibration._CUTOFFS[1:])).astype("float32")
    near = np.unique([np.nextafter(logits, sign * np.float32(np.inf)) for sign in (-1, 1)] + [logits])
    labels = np.zeros(len(near) * 40, int)
    labels[::2] = 1
    hard = np.repeat(near, 40)
    easy = np.full(4000, 30.0)
    outputs = np.concatenate([hard, easy]).astype("float32")[np.newaxis, :, np.newaxis]
    y = np.concatenate([labels, np.ones(4000, int)])
    predictive = bnn.Predictive(outputs, bnn.likelihoods.Bernoulli())
    for one in near:
        alone = (outputs[0, :, 0] == one) | (outputs[0, :, 0] == 30)
        chosen = bnn.Predictive(outputs[:, alone], bnn.likelihoods.Bernoulli())
        cutoff = bnn.calibrate_cutoff(chosen, y[alone], risk=0.01)
        decided = chosen.decide(cutoff=cutoff)
        assert (decided != y[alone])[decided >= 0].mean() <= 0.01
    np.testing.assert_array_equal(predictive.to_frame()[["p_0", "p_1"]], predictive.class_probabilities())


def test_inputs_that_are_not_numbers_are_refused_by_cutoffs():
    predictive, labels = overconfident(5000, seed=0)
    outputs = predictive.outputs.copy()
    outputs[:, :100] = np.nan
    broken = bnn.Predictive(outputs, CATEGORICAL)
    cutoff = bnn.calibrate_cutoff(broken, labels, risk=0.05)
    assert cutoff == bnn.calibrate_cutoff(broken[100:], labels[100:], risk=0.05)
    assert (broken.decide(cutoff=cutoff)[:100] == -1).all()


# Temperatures


def test_the_temperature_undoes_what_made_the_logits_too_large():
    predictive, labels = overconfident(50_000, seed=0, temperature=2.0)
    temperature = bnn.calibrate_temperature(predictive, labels)
    assert temperature == pytest.approx(2.0, rel=0.03)
    calibrated = predictive.at_temperature(temperature)
    before, after = (bnn.metrics.expected_calibration_error(p.mean(), labels) for p in (predictive, calibrated))
    assert after < 0.01 < before
    assert calibrated.log_prob(labels).mean() > predictive.log_prob(labels).mean()


def test_the_temperature_is_the_best_for_the_mean_over_draws():
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(scale=3, size=(5, 400, 3)), rng.integers(3, size=400)
    temperature = bnn.calibrate_temperature(bnn.Predictive(outputs, CATEGORICAL), labels)

    def nll(temperature):
        probabilities = scipy.special.softmax(outputs / temperature, axis=-1).mean(axis=0)
        return -np.log(probabilities[np.arange(400), labels]).mean()

    best = scipy.optimize.minimize_scalar(nll, bounds=(0.1, 100), method="bounded", options={"xatol": 1e-6})
    assert nll(temperature) == pytest.approx(best.fun, rel=1e-6)


@pytest.mark.parametrize(
    "outputs",
    [
        np.tile([5.0, 0.0], (3, 50, 1)),  # the surer, the better
        np.tile([50.0, 0.0], (3, 50, 1)),  # as good at any temperature
    ],
)
def test_there_is_no_best_temperature_if_nothing_is_wrong(outputs):
    predictive = bnn.Predictive(outputs, CATEGORICAL)
    with pytest.raises(ValueError, match=r"No temperature is the best one.* Received: 50 inputs, 0 of them"):
        bnn.calibrate_temperature(predictive, np.zeros(50, int))


def test_outputs_that_are_not_numbers_have_no_temperature():
    outputs = np.zeros((3, 50, 2))
    outputs[1, 7], outputs[2, 7:9] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"must be finite. Received: 50 inputs, 2 of them with others"):
        bnn.calibrate_temperature(bnn.Predictive(outputs, CATEGORICAL), np.zeros(50, int))


@pytest.mark.parametrize("seed", [121, 255, 286])  # a local search ends in another valley
def test_the_best_temperature_is_found_where_draws_differ_widely_in_scale(seed):
    rng = np.random.default_rng(seed)
    draws, labels = rng.integers(2, 6), rng.integers(3, size=60)
    scales = 10 ** rng.uniform(-2, 3, size=(draws, 1, 1))
    noise, signal = rng.normal(size=(draws, 60, 3)), rng.uniform(0, 2, size=(draws, 1, 1))
    outputs = scales * (noise + signal * np.eye(3)[labels])
    predictive = bnn.Predictive(outputs, CATEGORICAL)

    def nll(temperature):
        log_probs = scipy.special.log_softmax(outputs / temperature, axis=-1)[:, np.arange(60), labels]
        return -(scipy.special.logsumexp(log_probs, axis=0) - np.log(draws)).mean()

    best = min(nll(temperature) for temperature in np.geomspace(0.01, 100, 500))
    assert nll(bnn.calibrate_temperature(predictive, labels)) <= best + 1e-3


def test_the_error_says_truthfully_how_many_are_wrong():
    # The surer, the better, although one is wrong: a third of its draws would be right for certain.
    odds = np.full((3, 40), 1.0)
    odds[1:, 0] = -20.0
    outputs = np.stack([odds, np.zeros_like(odds)], axis=-1)
    with pytest.raises(ValueError, match=r"validation data. Received: 40 inputs, 1 of them classified"):
        bnn.calibrate_temperature(bnn.Predictive(outputs, CATEGORICAL), np.zeros(40, int))


def test_draws_at_a_temperature_are_softmaxes_of_divided_logits():
    logits = np.random.default_rng(0).normal(size=(4, 5, 3))
    cool = bnn.Predictive(logits, CATEGORICAL).at_temperature(0.5)
    np.testing.assert_allclose(cool.draws, scipy.special.softmax(logits / 0.5, axis=-1), rtol=1e-5)
    with pytest.raises(ValueError, match="Received: temperature=0"):
        bnn.Predictive(logits, CATEGORICAL).at_temperature(0)
