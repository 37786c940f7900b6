"""The script that asks how many draws decisions need."""

import json

import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import anytime
from scripts.common import reporting
from tests.scripts import oracles
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


def test_the_report_is_of_both_ways_and_of_all_draws_again(tmp_path, monkeypatch):
    everything, again = summary([0.96, 0.92, 0.97, 0.06], 50), summary([0.96, 0.89, 0.97, 0.06], 50)
    settled = {
        None: summary([0.95, 0.93, 0.97, 0.06], np.array([20, 30, 40, 50])),
        0.9: summary([0.95, 0.8, 0.97, 0.06], np.array([10, 10, 10, 50])),
    }
    for name in ("load_model", "check_bayesian", "check_input_shape"):
        monkeypatch.setattr(reporting, name, lambda *args: None)
    monkeypatch.setattr(reporting, "load_dataset", lambda *args: oracles.tagged_dataset(1, 1, test=9))

    def predict(model, x, num_draws, tolerance, cutoff, seed):
        assert (len(x), num_draws, tolerance, seed) == (4, 50, 0.03, 8)
        return settled[cutoff]

    monkeypatch.setattr(bnn, "predict", predict)
    monkeypatch.setattr(bnn, "summarize", lambda model, x, num_draws, seed: {7: everything, 8: again}[seed])
    words = "anytime.py model.keras --images 4 --num-draws 50 --tolerance 0.03 --cutoff 0.9 --seed 7"
    monkeypatch.setattr("sys.argv", [*words.split(), "--output-dir", str(tmp_path)])
    anytime.main()
    report = json.loads((tmp_path / "anytime.json").read_text())
    ways = ("probabilities", "decisions", "all_draws_again")
    assert [report[way]["mean_draws"] for way in ways] == [35, 20, 50]
    assert [report[way]["decisions_that_differ"] for way in ways] == [0, 0.25, 0.25]
    assert (tmp_path / "anytime.png").exists()
