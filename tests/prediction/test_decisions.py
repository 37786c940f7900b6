"""Decisions: labels where a classifier is sure enough, abstention elsewhere, and tables of predictions."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

import tfp_bnn as bnn

pytestmark = pytest.mark.jax_if_thorough  # of probabilities, in NumPy

CATEGORICAL = bnn.likelihoods.Categorical()
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9], [0.5, 0.3, 0.2]])


def predictive_of(probabilities, draws=3):
    logits = np.log(np.asarray(probabilities)).astype("float32")
    return bnn.Predictive(np.tile(logits, (draws, 1, 1)), CATEGORICAL)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"cutoff": 0}, [0, 1, 2, 0]),
        ({"cutoff": 0.6}, [-1, 1, 2, -1]),
        ({"cutoff": 0.95}, [-1, -1, -1, -1]),
        ({"coverage": 1}, [0, 1, 2, 0]),
        ({"coverage": 0.5}, [-1, 1, 2, -1]),
        ({"coverage": 0.25}, [-1, -1, 2, -1]),
        ({"coverage": 0.1}, [-1, -1, 2, -1]),
        ({"coverage": 0.75}, [0, 1, 2, 0]),  # two are equally sure
        ({"coverage": 0}, [-1, -1, -1, -1]),
        ({"entropy": 0.7}, [-1, 1, 2, -1]),
        ({"entropy": np.log(3)}, [0, 1, 2, 0]),
        ({"cutoff": 0.6, "abstain": 99}, [99, 1, 2, 99]),
    ],
)
def test_the_likeliest_class_is_given_where_the_network_is_sure(how, expected):
    assert predictive_of(PROBABILITIES).decide(**how).tolist() == expected


@pytest.mark.parametrize("coverage", [0, 0.5, 1])
def test_of_no_inputs_none_is_classified(coverage):
    assert predictive_of(PROBABILITIES)[:0].decide(coverage=coverage).tolist() == []


def test_the_mean_of_the_draws_decides_not_each_of_them():
    # Each draw is sure; together they are not.
    outputs = np.array([[[9.0, 0.0]], [[0.0, 9.0]], [[9.0, 0.0]]])
    predictive = bnn.Predictive(outputs, CATEGORICAL)
    assert predictive.decide(cutoff=0.7).tolist() == [-1]
    assert predictive.decide(cutoff=0.6).tolist() == [0]
    assert predictive.decide(entropy=0.6).tolist() == [-1]


@pytest.mark.parametrize(
    ("how", "received"),
    [
        ({}, r"Received: {}"),
        ({"cutoff": 0.5, "coverage": 0.5}, r"Received: {'cutoff': 0.5, 'coverage': 0.5}"),
        ({"cutoff": 1.5}, r"Received: cutoff=1.5"),
        ({"cutoff": float("nan")}, r"Received: cutoff=nan"),
        ({"coverage": -0.1}, r"Received: coverage=-0.1"),
        ({"entropy": -1}, r"Received: entropy=-1"),
        ({"entropy": "low"}, r"Received: entropy='low'"),
        ({"cutoff": 0.5, "abstain": 2}, r"Received: abstain=2"),
        ({"cutoff": 0.5, "abstain": 0.5}, r"Received: abstain=0.5"),
    ],
)
def test_what_is_no_decision_gets_one_clear_error(how, received):
    with pytest.raises(ValueError, match=received):
        predictive_of(PROBABILITIES).decide(**how)


def test_only_classes_are_decided():
    predictive = bnn.Predictive(np.zeros((3, 2, 1)), bnn.likelihoods.Normal(scale=1.0))
    with pytest.raises(ValueError, match=r"Bernoulli of one target.* Received: Predictive.*Normal"):
        predictive.decide(cutoff=0.5)
    with pytest.raises(ValueError, match=r"Bernoulli of one target.* Received: Predictive.*Normal"):
        predictive.at_temperature(2.0)


@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_the_bounds_of_cutoff_and_entropy_include_themselves_whatever_the_precision(number):
    alike = bnn.Predictive(np.zeros((3, 4, 3), "float32"), CATEGORICAL)
    assert alike.decide(entropy=number(np.log(3))).tolist() == [0] * 4
    # 0.7 in single precision is a little less than in double.
    probabilities = np.array([[0.7, 0.3]], "float32")
    assert bnn.prediction.decisions.sure_by_cutoff(probabilities, number(0.7)) == (number is np.float32)
    assert bnn.prediction.decisions.sure_by_cutoff(probabilities, number(probabilities[0, 0]))


# Yes or no


def yes_or_no(draws=7, inputs=50):
    rng = np.random.default_rng(1)
    logits = (rng.normal(scale=3, size=(inputs, 1)) + rng.normal(size=(draws, inputs, 1))).astype("float32")
    two_classes = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return bnn.Predictive(logits, bnn.likelihoods.Bernoulli()), bnn.Predictive(two_classes, CATEGORICAL)


@pytest.mark.parametrize("how", [{"cutoff": 0.8}, {"coverage": 0.5}, {"entropy": 0.5}])
def test_one_yes_or_no_target_is_decided_as_two_classes_are(how):
    binary, classes = yes_or_no()
    decided = binary.decide(**how)
    assert set(decided) == {-1, 0, 1}
    np.testing.assert_array_equal(decided, classes.decide(**how))
    np.testing.assert_allclose(binary.to_frame(), classes.to_frame(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(binary.at_temperature(3.0).as_classes().mean(), classes.at_temperature(3.0).mean(), 1e-5)


def test_one_yes_or_no_target_is_calibrated_as_two_classes_are():
    binary, classes = yes_or_no(inputs=2000)
    y = np.random.default_rng(2).random(2000) < 0.02 + 0.96 * (classes.mean()[:, 1] > 0.5)
    temperatures = [bnn.calibrate_temperature(predictive, y[:, None]) for predictive in (binary, classes)]
    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-3)
    cutoffs = [bnn.calibrate_cutoff(predictive, y, risk=0.05) for predictive in (binary, classes)]
    assert cutoffs[0] == cutoffs[1] < 1


def test_several_yes_or_no_targets_are_no_classes():
    several = bnn.Predictive(np.zeros((3, 2, 2)), bnn.likelihoods.Bernoulli())
    with pytest.raises(ValueError, match=r"Bernoulli of one target.* Received: Predictive.*Bernoulli"):
        several.decide(cutoff=0.5)
    assert "mean_1" in several.to_frame()


# Summaries


@pytest.mark.parametrize("likelihood", [CATEGORICAL, bnn.likelihoods.Bernoulli(), bnn.likelihoods.Normal(1.0)])
def test_a_summary_has_the_table_and_the_decisions_of_the_draws(likelihood):
    num_outputs = 3 if likelihood is CATEGORICAL else 1
    outputs = np.random.default_rng(3).normal(size=(9, 40, num_outputs)).astype("float32")
    averages = bnn.prediction.averages.average_over_draws([outputs[:4], outputs[4:]], likelihood)
    summary, predictive = (
        bnn.prediction.summary.PredictiveSummary(averages, 9, likelihood),
        bnn.Predictive(outputs, likelihood),
    )
    assert list(summary.to_frame().columns) == list(predictive.to_frame().columns)
    np.testing.assert_allclose(summary.to_frame(), predictive.to_frame(), rtol=1e-4, atol=1e-6)
    if isinstance(likelihood, bnn.likelihoods.Normal):
        with pytest.raises(ValueError, match=r"Received: Predictive.*Normal"):
            summary.decide(cutoff=0.5)
    else:
        np.testing.assert_array_equal(summary.decide(cutoff=0.6), predictive.decide(cutoff=0.6))
        np.testing.assert_array_equal(summary.decide(entropy=0.6), predictive.decide(entropy=0.6))


# Tables


def test_a_table_of_classes_has_a_row_for_each_input():
    logits = np.random.default_rng(0).normal(scale=2, size=(7, 5, 3)).astype("float32")
    predictive = bnn.Predictive(logits, CATEGORICAL)
    table = predictive.to_frame()
    numbers = ["label", "probability", "entropy", "expected_entropy", "mutual_information"]
    assert list(table.columns) == [*numbers, "p_0", "p_1", "p_2"]
    draws = scipy.special.softmax(logits.astype("float64"), axis=-1)
    probabilities = draws.mean(axis=0)
    np.testing.assert_allclose(table[["p_0", "p_1", "p_2"]], probabilities, rtol=1e-5)
    np.testing.assert_array_equal(table["label"], probabilities.argmax(axis=-1))
    np.testing.assert_allclose(table["probability"], probabilities.max(axis=-1), rtol=1e-5)
    total, aleatoric = scipy.stats.entropy(probabilities, axis=-1), scipy.stats.entropy(draws, axis=-1).mean(axis=0)
    np.testing.assert_allclose(table["entropy"], total, rtol=1e-5)
    np.testing.assert_allclose(table["expected_entropy"], aleatoric, rtol=1e-5)
    np.testing.assert_allclose(table["mutual_information"], total - aleatoric, rtol=1e-4)


def test_the_parts_of_the_entropy_are_known_where_draws_agree_and_where_they_contradict():
    # Three inputs: all draws undecided, each draw sure of another class, all sure of the same.
    outputs = 50.0 * np.array([[[0, 0], [1, 0], [1, 0]], [[0, 0], [0, 1], [1, 0]]])
    table = bnn.Predictive(outputs, CATEGORICAL).to_frame()
    columns = ["entropy", "expected_entropy", "mutual_information"]
    log_2 = np.log(2)
    np.testing.assert_allclose(table[columns], [[log_2, log_2, 0], [log_2, 0, log_2], [0, 0, 0]], atol=1e-6)


def test_a_table_of_targets_has_mean_and_both_standard_deviations():
    outputs = np.random.default_rng(0).normal(size=(7, 5, 2)).astype("float32")
    one = bnn.Predictive(outputs[..., :1], bnn.likelihoods.Normal(scale=0.3)).to_frame()
    assert list(one.columns) == ["mean", "stddev", "epistemic_stddev", "aleatoric_stddev"]
    two = bnn.Predictive(outputs, bnn.likelihoods.Normal(scale=0.3)).to_frame()
    assert list(two.columns) == [f"{name}_{target}" for name in one.columns for target in (0, 1)]
    for target in (0, 1):
        mean, epistemic = outputs[..., target].mean(axis=0), outputs[..., target].std(axis=0)
        expected = np.stack([mean, np.hypot(epistemic, 0.3), epistemic, np.full(5, 0.3)], axis=1)
        of_target = two[[f"{name}_{target}" for name in one.columns]]
        np.testing.assert_allclose(of_target, expected, rtol=1e-5, atol=1e-6)
        if target == 0:
            np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)


def test_a_table_of_positions_says_where_each_row_is_of():
    mean = np.arange(12.0).reshape(1, 2, 2, 3, 1)  # of 2 inputs, of 2 by 3 positions
    mask = np.ones((2, 2, 3), bool)
    mask[0, 1, 2] = False
    table = bnn.Predictive(mean, bnn.likelihoods.Normal(scale=1.0), mask).to_frame()
    assert len(table) == 11
    for row in table.itertuples():
        assert row.mean == mean[0, row.input, row.position_0, row.position_1, 0]
    times = bnn.Predictive(mean.reshape(1, 2, 6, 1), bnn.likelihoods.Normal(scale=1.0)).to_frame()
    np.testing.assert_array_equal(times[["input", "position"]].to_numpy() @ [6, 1], times["mean"])


@pytest.mark.parametrize("likelihood", [CATEGORICAL, bnn.likelihoods.Bernoulli()])
def test_a_mask_stays_with_what_is_made_of_a_prediction(likelihood):
    mask = np.array([[True, True, False], [True, False, False]])
    predictive = bnn.Predictive(np.ones((4, 2, 3, 2 if likelihood is CATEGORICAL else 1)), likelihood, mask)
    for made in (predictive.at_temperature(2.0), predictive.as_classes(), predictive[np.array([0, 1])]):
        np.testing.assert_array_equal(made.mask, mask)
    np.testing.assert_array_equal(predictive[1].mask, mask[1:])


@pytest.mark.parametrize("coverage", [0.07, 0.55, 0.56, 0.57, 0.58])  # times 100 some are a little more than whole
def test_no_more_inputs_are_classified_than_the_share_asked_for(coverage):
    sure = np.linspace(0.5, 0.99, 100)
    decided = predictive_of(np.stack([sure, 1 - sure], axis=1)).decide(coverage=coverage)
    assert (decided >= 0).sum() == round(100 * coverage)


@pytest.mark.parametrize("how", [{"coverage": 1}, {"coverage": 0.5}, {"coverage": 0.01}, {"cutoff": 0}, {"entropy": 9}])
def test_what_is_not_a_number_is_never_sure_and_counts_among_the_inputs(how):
    sure = np.linspace(0.6, 0.99, 10)
    outputs = np.array(predictive_of(np.stack([sure, 1 - sure], axis=1)).outputs)
    outputs[:, :5] = np.nan
    decided = bnn.Predictive(outputs, CATEGORICAL).decide(**how)
    assert (decided[:5] == -1).all()
    # Half of ten are the five that are left.
    assert (decided >= 0).sum() == (1 if how == {"coverage": 0.01} else 5)


def test_of_inputs_that_are_not_numbers_none_is_sure():
    assert bnn.Predictive(np.full((2, 3, 2), np.nan), CATEGORICAL).decide(coverage=1).tolist() == [-1] * 3
