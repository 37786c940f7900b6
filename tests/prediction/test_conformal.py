"""Conformal sets and intervals: worked examples, and that they hold the truth as often as promised."""

import functools
import math
import pickle

import numpy as np
import pytest
import scipy.special

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import likelihoods
from tfp_bnn.prediction import conformal
from tfp_bnn.prediction.conformal import calibrate_intervals, calibrate_sets

# They are made by NumPy, of probabilities, moments and quantiles that other tests compare on both backends.
pytestmark = on_tensorflow_alone

CATEGORICAL = likelihoods.Categorical()
STANDARD_ERRORS = 5
SCORES = {calibrate_sets: ("adaptive", "threshold"), calibrate_intervals: ("normalized", "quantile")}
of_each_score = pytest.mark.parametrize(
    ("calibrate", "score"), [(calibrate, score) for calibrate, scores in SCORES.items() for score in scores]
)


def of_probabilities(probabilities, draws=2):
    """Returns predictions whose draws agree."""
    return bnn.Predictive(np.tile(np.log(probabilities), (draws, 1, 1)), CATEGORICAL)


def of_moments(mean, stddev, draws=2):
    """Returns predictions of one target whose draws agree, as a normal with a scale of each input."""
    scale = (np.asarray(stddev, "float64") - 1e-3) / (1 - 1e-3)  # the inverse of how outputs become scales
    outputs = np.stack([np.broadcast_to(mean, scale.shape), scale - 1 / scale], axis=-1)
    return bnn.Predictive(np.tile(outputs, (draws, 1, 1)), likelihoods.Normal())


def hard_and_easy(size, seed):
    """Returns predictions of three classes that are too sure, every other one of a hard input, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=np.where(np.arange(size) % 2, 4.0, 0.7)[:, None], size=(size, 3))
    labels = (rng.random((size, 1)) > scipy.special.softmax(logits, axis=-1).cumsum(axis=-1)).sum(axis=-1)
    noise = rng.normal(scale=0.3, size=(4, size, 3))
    return bnn.Predictive(2 * logits + noise, CATEGORICAL), labels


def curve(size, seed):
    """Returns predictions of two targets that misjudge their noise, and the targets."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 2.0, size=(size, 1))
    y = np.hstack([x * rng.gamma(2.0, size=(size, 1)), 5 * x * rng.normal(size=(size, 1))])
    noise = rng.normal(scale=0.05, size=(4, size, 2))
    outputs = np.concatenate([np.tile(np.hstack([2 * x, 0 * x]), (4, 1, 1)) + noise, np.tile(x, (4, 1, 2))], axis=-1)
    return bnn.Predictive(outputs, likelihoods.Normal()), y


# Worked examples


def test_the_threshold_of_probabilities_is_that_of_the_nth_smallest_score():
    # The right classes have probabilities 0.9, 0.8, 0.6 and 0.3: of four the third score, 1 - 0.6, is for 0.6.
    probabilities = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6], [0.3, 0.4, 0.3]]) + 1e-12
    found = calibrate_sets(of_probabilities(probabilities), [0, 1, 2, 0], coverage=0.6, score="threshold")
    assert found.threshold == pytest.approx(0.4, abs=1e-6)
    assert (found.num_classes, found.num_draws, found.num_inputs, found.seed) == (3, 2, 4, None)
    to_come = of_probabilities(np.array([[0.61, 0.2, 0.19], [0.5, 0.5, 1e-9], [0.39, 0.6001, 0.01]]))
    np.testing.assert_array_equal(found.sets(to_come), [[True, False, False], [False] * 3, [False, True, False]])


def test_adaptive_scores_are_the_probability_of_what_is_likelier_and_part_of_its_own():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.25, 0.5, 0.25]])
    found = conformal._adaptive_scores(probabilities, np.array([[0.0], [1.0], [0.5]]))
    np.testing.assert_allclose(found, [[0.0, 0.5, 0.8], [1.0, 0.9, 0.7], [0.625, 0.25, 0.875]])


def test_adaptive_sets_are_those_of_their_random_numbers():
    predictive, labels = hard_and_easy(40, seed=0)
    found = calibrate_sets(predictive, labels, coverage=0.8, seed=7)
    probabilities = np.asarray(predictive.mean(), "float64")

    def score(row, label, u):
        return sum(p for p in row if p > row[label]) + u * row[label]

    random_numbers = [np.random.default_rng((7, purpose)).random(40) for purpose in (0, 1)]
    ours = sorted(map(score, probabilities, labels, random_numbers[0]))
    assert found.threshold == pytest.approx(ours[math.ceil(41 * 0.8) - 1])
    expected = [
        [score(row, label, u) <= found.threshold for label in range(3)]
        for row, u in zip(probabilities, random_numbers[1], strict=True)
    ]
    np.testing.assert_array_equal(found.sets(predictive), expected)


def test_normalized_intervals_are_residuals_in_standard_deviations():
    found = calibrate_intervals(of_moments([0, 0, 10, 10], [1, 2, 1, 2]), [1, -6, 12, 11], coverage=0.6)
    # The scores are 1, 3, 2 and 0.5, and of four the third is 2.
    assert found.thresholds == pytest.approx((2,))
    intervals = found.intervals(of_moments([5, 5], [1, 3]))
    assert intervals.shape == (2, 2, 1)
    np.testing.assert_allclose(intervals[..., 0], [[3, -1], [7, 11]], rtol=1e-6)


def test_quantile_intervals_are_the_quantiles_moved():
    predictive = of_moments([0, 0, 10, 10], [1, 2, 1, 2])
    low, high = predictive.quantiles((0.2, 0.8))[..., 0]
    distances = np.array([-0.1, 0.5, 0.3, -0.2])  # the third smallest is 0.3
    found = calibrate_intervals(predictive, high + distances, coverage=0.6, score="quantile")
    assert found.thresholds == pytest.approx((0.3,))
    np.testing.assert_allclose(found.intervals(predictive)[..., 0], [low - 0.3, high + 0.3])
    narrower = calibrate_intervals(predictive, low + 0.1, coverage=0.6, score="quantile")
    np.testing.assert_allclose(narrower.intervals(predictive)[..., 0], [low + 0.1, high - 0.1])


def test_quantiles_that_are_moved_past_each_other_end_in_their_middle():
    wide, narrow = of_moments([0.0] * 9, [100.0] * 9), of_moments([3.0], [1.0])
    found = calibrate_intervals(wide, np.zeros(9), score="quantile")
    assert found.thresholds[0] < -100
    np.testing.assert_allclose(found.intervals(narrow).ravel(), [3, 3])


def test_intervals_of_counts_end_in_counts():
    rng = np.random.default_rng(0)
    rates = rng.uniform(0, 9, size=(99, 1))
    predictive = bnn.Predictive(np.tile(np.log(rates), (2, 1, 1)), likelihoods.Poisson())
    counts = rng.negative_binomial(2, 2 / (2 + rates))
    for score in SCORES[calibrate_intervals]:
        found = calibrate_intervals(predictive, counts, score=score)
        low, high = found.intervals(predictive)
        assert ((low >= 0) & (low == low.round()) & (high == high.round()) & (low <= high)).all()
        assert 0.9 <= found.covers(predictive, counts).mean() <= 0.97


@pytest.mark.parametrize("coverage", [0.07, 0.1, 0.29, 0.57, 0.58, 0.9, 0.99])
def test_the_rank_is_that_of_the_decimal(coverage):
    # 100 * 0.29 and the like are rounded up.
    assert conformal._threshold(np.arange(1.0, 100.0), coverage) == round(100 * coverage)


def test_what_is_as_strange_as_the_threshold_is_held():
    # All scores of a target are equal, but for rounding in the ends of its intervals.
    means, targets = np.random.default_rng(0).normal(size=(2, 1000))
    predictive, y = bnn.Predictive(np.tile(means, (2, 9, 1)), likelihoods.Normal(scale=0.3)), np.tile(targets, (9, 1))
    for score in SCORES[calibrate_intervals]:
        assert calibrate_intervals(predictive, y, score=score).covers(predictive, y).all()


def test_a_network_without_doubt_is_right_or_infinitely_wrong():
    outputs, y = np.zeros((2, 9, 1)), np.zeros(9)
    predictive = bnn.Predictive(outputs, likelihoods.Normal(scale=1e-300))  # squared, it is 0
    np.testing.assert_array_equal(calibrate_intervals(predictive, y).intervals(predictive), np.zeros((2, 9, 1)))
    with pytest.raises(ValueError, match="Received: 1 inputs without"):
        calibrate_intervals(predictive, np.eye(9)[0])


# What is promised


class PartOf(bnn.Predictive):
    """Some of the inputs of a predictive distribution, of whose quantiles and moments all is computed once."""

    def __init__(self, whole, index=slice(None)):
        super().__init__(whole.outputs[:, index], whole.likelihood)
        self.whole, self.index = whole, index

    def __getitem__(self, index):
        return PartOf(self.whole, index)

    def mean(self):
        return self.whole.mean()[self.index]

    def stddev(self):
        return self.whole.stddev()[self.index]

    def quantiles(self, probabilities):
        return self.whole.quantiles(probabilities)[:, self.index]


def data_for(calibrate):
    predictive, y = (hard_and_easy if calibrate is calibrate_sets else curve)(1020, seed=0)
    for name in ("mean", "stddev", "quantiles"):
        setattr(predictive, name, functools.cache(getattr(predictive, name)))
    return predictive, y


def coverages(calibrate, score, num_inputs, resplits):
    """Returns the mean coverage over resplits into calibration inputs and others, and its standard error."""
    whole, y = data_for(calibrate)
    predictive = PartOf(whole)
    rng = np.random.default_rng(1)
    found = []
    for seed in range(resplits):
        calibration, others = np.split(rng.permutation(len(y)), [num_inputs])
        options = {"seed": seed} if calibrate is calibrate_sets else {}
        fitted = calibrate(predictive[calibration], y[calibration], coverage=0.9, score=score, **options)
        found.append(np.mean(fitted.covers(predictive[others], y[others]), axis=0))
    return np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(resplits)


@of_each_score
def test_the_truth_is_held_as_often_as_promised(calibrate, score):
    # 20 inputs: of 21 scores, each as likely to be the one to come, 19 are at most the threshold.
    mean, standard_error = coverages(calibrate, score, num_inputs=20, resplits=200)
    assert np.shape(mean) == (() if calibrate is calibrate_sets else (2,))
    assert np.max(standard_error) < 0.006
    assert np.all(mean >= 0.9 - STANDARD_ERRORS * standard_error)
    np.testing.assert_array_less(np.abs(mean - 19 / 21), STANDARD_ERRORS * standard_error)


@of_each_score
def test_that_test_knows_the_plain_quantile_from_the_right_one(calibrate, score, monkeypatch):
    def plain(scores, coverage):
        return np.quantile(scores, coverage, axis=0, method="inverted_cdf")

    monkeypatch.setattr(conformal, "_threshold", plain)
    mean, standard_error = coverages(calibrate, score, num_inputs=20, resplits=200)
    assert np.all(mean < 0.9 - STANDARD_ERRORS * standard_error)


@of_each_score
def test_more_is_held_if_more_is_asked_for(calibrate, score):
    predictive, y = data_for(calibrate)
    options = {"seed": 0} if calibrate is calibrate_sets else {}
    held = [
        np.mean(calibrate(predictive, y, coverage, score, **options).covers(predictive, y))
        for coverage in (0.5, 0.8, 0.95)
    ]
    assert held == pytest.approx([0.5, 0.8, 0.95], abs=0.03)


def test_sets_are_larger_for_hard_inputs():
    predictive, labels = hard_and_easy(4000, seed=0)
    hard = np.arange(4000) % 2 == 0
    sizes, held = {}, {}
    for score in SCORES[calibrate_sets]:
        found = calibrate_sets(predictive[:2000], labels[:2000], score=score, seed=0)
        sizes[score] = found.sets(predictive[2000:]).sum(axis=-1)
        held[score] = found.covers(predictive[2000:], labels[2000:])
        assert sizes[score][hard[2000:]].mean() > sizes[score][~hard[2000:]].mean() + 0.5
    # The smallest sets are those of the threshold; the adaptive ones hold more of the hard inputs' labels.
    assert sizes["threshold"].mean() < sizes["adaptive"].mean()
    assert held["adaptive"][hard[2000:]].mean() > held["threshold"][hard[2000:]].mean()


def test_intervals_are_wider_where_the_network_is_unsure_and_skewed_where_it_is():
    predictive, y = curve(2000, seed=0)
    low, high = calibrate_intervals(predictive, y).intervals(predictive)
    widths = high - low
    np.testing.assert_allclose(widths[:, 0] / widths[:, 1], widths[0, 0] / widths[0, 1], rtol=0.1)
    assert widths[:, 1].max() > 1.5 * widths[:, 1].min()
    assert widths[:, 1].mean() > 1.5 * widths[:, 0].mean()  # each target has its own
    counts = bnn.Predictive(np.full((2, 99, 1), -1.0), likelihoods.Poisson())  # e^-1, and never below 0
    low, high = calibrate_intervals(counts, np.arange(99) % 3, score="quantile").intervals(counts)
    assert (low == 0).all()
    assert (high == 2).all()


# Seeds, files, and other likelihoods


def test_a_seed_makes_sets_repeatable_and_none_draws_one():
    predictive, labels = hard_and_easy(100, seed=0)
    first, again, other, drawn = (calibrate_sets(predictive, labels, seed=seed) for seed in (1, 1, 2, None))
    assert first == again != other
    np.testing.assert_array_equal(first.sets(predictive)[:30], first.sets(predictive[:30]))
    np.testing.assert_array_equal(drawn.sets(predictive), drawn.sets(predictive))
    assert (first.sets(predictive) != other.sets(predictive)).any()


def test_they_print_and_pickle():
    classes = calibrate_sets(*hard_and_easy(100, seed=0), score="threshold")
    intervals = calibrate_intervals(*curve(100, seed=0))
    assert repr(classes).startswith("ConformalSets(coverage=0.9, score='threshold', threshold=")
    assert repr(intervals).startswith("ConformalIntervals(coverage=0.9, score='normalized', thresholds=(")
    for found in (classes, intervals):
        assert pickle.loads(pickle.dumps(found)) == found


def test_one_yes_or_no_target_has_sets_of_two_classes():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 1))
    y = (rng.random(500) < scipy.special.expit(logits[:, 0])).astype(int)
    predictive = bnn.Predictive(np.tile(3 * logits, (2, 1, 1)), likelihoods.Bernoulli())
    for score in SCORES[calibrate_sets]:
        found = calibrate_sets(predictive, y, score=score, seed=0)
        assert found.sets(predictive).shape == (500, 2)
        assert found.covers(predictive, y[:, None]).mean() == pytest.approx(0.9, abs=0.03)
    in_classes = calibrate_sets(predictive.as_classes(), y, score="threshold")
    assert in_classes.threshold == pytest.approx(found.threshold, rel=1e-5)


@of_each_score
def test_what_is_no_number_could_be_anything(calibrate, score):
    predictive, y = data_for(calibrate)
    outputs = predictive.outputs.copy()
    outputs[1, :30] = np.nan
    broken = bnn.Predictive(outputs, predictive.likelihood)
    options = {"seed": 0} if calibrate is calibrate_sets else {}
    found = calibrate(broken, y, score=score, **options)
    assert found.covers(broken, y)[:30].all()
    if calibrate is calibrate_sets:
        assert found.sets(broken)[:30].all()
    else:
        np.testing.assert_array_equal(found.intervals(broken)[:, 0], [[-np.inf] * 2, [np.inf] * 2])
    with pytest.raises(ValueError, match=r"28 of 30 calibration inputs that have a finite.* Received: 30 inp"):
        calibrate(broken[:30], y[:30], score=score, **options)


# Errors


@of_each_score
def test_too_few_inputs_get_one_clear_error(calibrate, score):
    predictive, y = data_for(calibrate)
    with pytest.raises(ValueError, match=r"coverage of 0.9 takes at least 9 calibration inputs. Received: 8 inputs"):
        calibrate(predictive[:8], y[:8], score=score)
    with pytest.raises(ValueError, match=r"coverage of 0.99 takes at least 99 calibration inputs. Received: 98 inputs"):
        calibrate(predictive[:98], y[:98], 0.99, score)
    assert calibrate(predictive[:9], y[:9], score=score).num_inputs == 9


REAL = bnn.Predictive(np.zeros((2, 100, 1)), likelihoods.Normal(1.0))
STEPS = np.zeros((2, 100, 5, 3))


@pytest.mark.parametrize(
    ("calibrate", "wrong", "received"),
    [
        (calibrate_sets, {"coverage": 1.0}, "coverage=1.0"),
        (calibrate_sets, {"coverage": "most"}, "coverage='most'"),
        (calibrate_sets, {"score": "quantile"}, "score='quantile'"),
        (calibrate_sets, {"y": np.zeros(3, int)}, r"shape \(3,\)"),
        (calibrate_sets, {"y": np.full(100, 3)}, "3"),
        (calibrate_sets, {"predictive": REAL}, "Predictive"),
        (calibrate_sets, {"predictive": bnn.Predictive(STEPS, CATEGORICAL)}, "Predictive.*5 positions"),
        (calibrate_intervals, {"coverage": 0}, "coverage=0"),
        (calibrate_intervals, {"score": "adaptive"}, "score='adaptive'"),
        (calibrate_intervals, {"y": np.zeros((100, 3))}, r"shape \(100, 3\)"),
        (calibrate_intervals, {"y": np.full((100, 2), np.nan)}, "nan"),
        (calibrate_intervals, {"predictive": hard_and_easy(100, 0)[0]}, "Predictive"),
        (calibrate_intervals, {"predictive": bnn.Predictive(STEPS, likelihoods.Bernoulli())}, "Predictive"),
        (calibrate_intervals, {"predictive": bnn.Predictive(STEPS, likelihoods.Normal(1.0))}, "Predictive.*5 pos"),
    ],
)
def test_bad_arguments_get_one_clear_error(calibrate, wrong, received):
    predictive, y = hard_and_easy(100, seed=0) if calibrate is calibrate_sets else curve(100, seed=0)
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        calibrate(**{"predictive": predictive, "y": y, **wrong})


def test_other_draws_classes_or_targets_are_not_those_that_were_calibrated():
    (classes, labels), (reals, y) = hard_and_easy(100, seed=0), curve(100, seed=0)
    sets, intervals = calibrate_sets(classes, labels), calibrate_intervals(reals, y)
    for found, predictive in ((sets.sets, classes), (intervals.intervals, reals)):
        fewer = bnn.Predictive(predictive.outputs[:3], predictive.likelihood)
        with pytest.raises(ValueError, match=r"num_draws=4 and the same `seed`. Received: Predictive.3 draws"):
            found(fewer)
    with pytest.raises(ValueError, match=r"must be of 3 classes.* Received: .* of 2"):
        sets.sets(bnn.Predictive(classes.outputs[..., :2], CATEGORICAL))
    with pytest.raises(ValueError, match=r"must be of 2 targets.* Received: .* of 1"):
        intervals.intervals(bnn.Predictive(reals.outputs[..., ::2], likelihoods.Normal()))
