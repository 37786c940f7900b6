"""Detection of unknown inputs: beside loops over pairs and thresholds, and scikit-learn's curves."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import metrics

pytestmark = on_tensorflow_alone  # functions of arrays

FUNCTIONS = (metrics.auroc, metrics.aupr, metrics.fpr_at_tpr)


def scores(decimals):
    """Returns scores of known and unknown inputs; of few decimals, so that many are equal."""
    rng = np.random.default_rng(0)
    return rng.normal(size=80).round(decimals), (1 + rng.normal(size=50)).round(decimals)


both_kinds = pytest.mark.parametrize("decimals", [0, 15], ids=["many equal", "all different"])


def recall_and_precision(known, unknown):
    """Yields both at each threshold, the highest first."""
    for threshold in sorted({*known, *unknown}, reverse=True):
        found, flagged = (unknown >= threshold).sum(), (known >= threshold).sum()
        yield found / len(unknown), found / (found + flagged)


@both_kinds
def test_the_auroc_is_the_share_of_pairs_in_the_right_order(decimals):
    known, unknown = scores(decimals)
    pairs = [(u > k) + 0.5 * (u == k) for u in unknown for k in known]
    area = metrics.auroc(known, unknown)
    assert isinstance(area, float)
    assert area == pytest.approx(np.mean(pairs), rel=1e-12)


@both_kinds
def test_the_aupr_is_the_sum_over_thresholds_with_unknown_inputs_as_positives(decimals):
    known, unknown = scores(decimals)
    area, last = 0.0, 0.0
    for recall, precision in recall_and_precision(known, unknown):
        area, last = area + (recall - last) * precision, recall
    assert metrics.aupr(known, unknown) == pytest.approx(area, rel=1e-12)


@both_kinds
@pytest.mark.parametrize("tpr", [0.02, 0.5, 0.9, 0.95, 1.0])
def test_the_false_positive_rate_is_that_of_scikit_learns_curve(decimals, tpr):
    known, unknown = scores(decimals)
    labels = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
    false, true, _ = roc_curve(labels, np.r_[known, unknown], drop_intermediate=False)
    share = metrics.fpr_at_tpr(known, unknown, tpr)
    assert isinstance(share, float)
    assert share == pytest.approx(false[np.argmax(true >= tpr)], abs=1e-12)


@both_kinds
def test_the_other_convention_is_that_of_swapped_negative_scores(decimals):
    known, unknown = scores(decimals)
    thresholds = sorted({*known, *unknown})
    # The lowest threshold under which 95% of known inputs pass, and the unknown ones that pass with them.
    passing = next(t for t in thresholds if (known <= t).mean() >= 0.95)
    assert metrics.fpr_at_tpr(-unknown, -known) == pytest.approx((unknown <= passing).mean(), abs=1e-12)


@pytest.mark.parametrize("size", [1, 7, 20, 29, 100])
def test_no_more_unknown_inputs_are_flagged_than_are_asked_for(size):
    # 7 of 100 are the share 0.07, though 0.07 * 100 is more than 7 in floating point.
    unknown = np.arange(size, dtype="float64")
    for asked in range(1, size + 1):
        known = np.full(3, size - asked - 0.5)  # just below the last one that is to be flagged
        assert metrics.fpr_at_tpr(known, unknown, asked / size) == 0
        assert metrics.fpr_at_tpr(known + 0.5, unknown, asked / size) == 1


def test_scores_that_separate_are_best_those_that_mislead_worst_and_equal_ones_guess():
    low, high = np.arange(10.0), np.arange(20.0, 25.0)
    assert [function(low, high) for function in FUNCTIONS] == [1, 1, 0]
    assert [metrics.auroc(high, low), metrics.fpr_at_tpr(high, low)] == [0, 1]
    same = np.zeros(30), np.zeros(10)
    assert [function(*same) for function in FUNCTIONS] == [0.5, 0.25, 1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_the_order_of_the_scores_matters(function):
    known, unknown = scores(1)
    assert function(np.exp(known), np.exp(unknown)) == function(known, unknown)
    assert function(known[::-1].astype("float32"), unknown[::-1].astype("float32")) == function(known, unknown)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bad", ["known", "unknown"])
@pytest.mark.parametrize(
    ("values", "received"),
    [
        (np.zeros(0), r"shape \(0,\)"),
        (np.zeros((3, 1)), r"shape \(3, 1\)"),
        (np.array([0, np.nan]), "nan"),
        (np.array([0, np.inf]), "inf"),
    ],
)
def test_what_are_no_scores_gets_one_clear_error(function, bad, values, received):
    with pytest.raises(ValueError, match=f"`{bad}` must be .* Received: {received}$"):
        function(**{"known": np.zeros(3), "unknown": np.ones(3), bad: values})


@pytest.mark.parametrize("tpr", [0, -0.1, 1.01, 95, np.nan])
def test_a_share_out_of_range_gets_one_clear_error(tpr):
    with pytest.raises(ValueError, match=f"Received: tpr={tpr}$"):
        metrics.fpr_at_tpr(np.zeros(3), np.ones(3), tpr)
