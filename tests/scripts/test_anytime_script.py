"""The script that asks how many draws decisions need."""

import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import anytime
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn.prediction.averages import average_over_draws

pytestmark = on_tensorflow_alone

CATEGORICAL = bnn.likelihoods.Categorical()


def summary(probabilities, num_draws):
    first = np.array(probabilities)
    outputs = np.log(np.stack([first, 1 - first], axis=-1))[np.newaxis]
    return bnn.PredictiveSummary(average_over_draws([outputs], CATEGORICAL), num_draws, CATEGORICAL)


def test_draws_and_decisions_are_counted():
    settled = summary([0.95, 0.8, 0.97, 0.05], np.array([10, 40, 10, 100]))
    everything = summary([0.96, 0.92, 0.97, 0.06], 1000)
    found = anytime.compare(settled, everything, cutoff=0.9)
    assert found == {
        "draws_of_all": 1000,
        "mean_draws": 40.0,
        "median_draws": 25.0,
        "share_with_ten_draws": 0.5,
        "decisions_that_differ": 0.25,  # 0.8 is refused, 0.92 is not
        "greatest_difference_of_probability": pytest.approx(0.12),
        "refused": {"settled": 0.25, "all_draws": 0.0},
    }


def test_the_figure_says_which_share_is_settled():
    figure = anytime.draw(np.array([10, 10, 40, 1000]), 1000)
    (line,) = figure.axes[0].lines
    assert line.get_ydata()[line.get_xdata() <= 10].max() == pytest.approx(0.5)
    assert "Mean 265 draws" in figure.axes[0].get_title()
