"""The comparisons of defaults and of tables: known answers of what they compute, and each command once."""

import json

import keras
import numpy as np
import pytest
import scipy.stats

import tfp_bnn as bnn
from scripts import defaults, first_tables
from scripts.learning import first_fits, table_contenders
from scripts.learning.table_contenders import Rows
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

RNG = np.random.default_rng(0)


def rows(number=120):
    """Returns rows of `y = 100 + 10 x_0`, with noise of standard deviation 2."""
    x = RNG.uniform(-1, 1, size=(number + 400, 2))
    y = 100 + 10 * x[:, 0] + RNG.normal(scale=2, size=len(x))
    return Rows(x[:number], y[:number], x[number:], y[number:])


def test_the_variance_of_a_forest_is_fit_to_the_errors_of_rows_not_seen():
    variances = RNG.uniform(0, 4, 20_000)
    errors = np.square(RNG.normal(scale=np.sqrt(2 * variances + 1)))
    assert table_contenders._fit_variance(errors, variances) == pytest.approx((2, 1), rel=0.1)


def test_what_a_mixture_says_is_that_of_its_parts():
    some = Rows(None, None, None, np.array([0.3, -2.0]))
    means, stddevs = np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[1.0, 0.5], [0.5, 0.5]])
    answer = table_contenders._mixture(means, stddevs, some, 0.05)
    parts = scipy.stats.norm(means, stddevs)
    np.testing.assert_allclose(answer.log_prob, np.log(parts.pdf(some.y_test).mean(axis=0)))
    np.testing.assert_allclose(parts.cdf(answer.low).mean(axis=0), 0.05, rtol=1e-6)
    np.testing.assert_allclose(parts.cdf(answer.high).mean(axis=0), 0.95, rtol=1e-6)
    np.testing.assert_allclose(answer.mean, [1.0, 1.0])


@pytest.mark.parametrize("contender", ["random forest", "Gaussian process", "plain network"])
def test_contenders_find_the_noise_that_is_there(contender, monkeypatch):
    monkeypatch.setattr(table_contenders, "TREES", 60)
    monkeypatch.setattr(table_contenders, "STEPS", 200)
    some = rows()
    answer = table_contenders.CONTENDERS[contender](some, 0.05, 0)
    inside = ((answer.low <= some.y_test) & (some.y_test <= answer.high)).mean()
    assert 0.8 < inside < 0.99
    assert -answer.log_prob.mean() < scipy.stats.norm(scale=2).entropy() + 0.3
    assert np.sqrt(np.mean((answer.mean - some.y_test) ** 2)) < 2.8


def test_the_tables_are_learned_once_each(tmp_path, monkeypatch):
    some = rows(40)
    x, y = np.concatenate([some.x_train, some.x_test]), np.concatenate([some.y_train, some.y_test])
    order = np.arange(len(x))
    (tmp_path / "uci").mkdir()
    np.savez(
        tmp_path / "uci" / "yacht.npz", x=x, y=y, train=np.tile(order[:40], (20, 1)), test=np.tile(order[40:], (20, 1))
    )
    words = [
        "first_tables.py",
        "--data-dir",
        tmp_path,
        "--sets",
        "yacht",
        "--splits",
        0,
        "--output-dir",
        tmp_path / "out",
    ]
    words += ["--contenders", "random forest"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    monkeypatch.setattr(table_contenders, "TREES", 20)
    first_tables.main()
    found = json.loads((tmp_path / "out" / "first_tables.json").read_text())
    forest = found["summary"]["yacht"]["random forest"]
    answer = table_contenders.forest(Rows(x[:40], y[:40], x[40:], y[40:]), 0.05, 0)
    assert forest["nll"] == pytest.approx(-answer.log_prob.mean(), abs=1e-4)
    assert forest["rmse"] == pytest.approx(np.sqrt(np.mean((answer.mean - y[40:]) ** 2)), abs=1e-4)
    monkeypatch.setattr(first_tables, "measure", lambda *arguments: pytest.fail("it was there already"))
    first_tables.main()


@pytest.mark.parametrize("name", [name for name in first_fits.TASKS if not name.endswith("00")])  # alike but for widths
def test_tasks_are_data_and_a_network_for_them(name):
    task = first_fits.TASKS[name](None, np.random.default_rng(0))
    x, y = task.train
    assert len(x) == len(y)
    outputs = task.make_model({"prior": bnn.priors.Normal(), "posterior": None})(x[:2])
    assert np.isfinite(keras.ops.convert_to_numpy(task.likelihood.log_prob(outputs, y[:2]))).all()


def test_defaults_are_compared(tmp_path, monkeypatch):
    def task(data_dir, rng):
        x = rng.normal(size=(60, 2)).astype("float32")
        return first_fits.Task(
            (x, x[:, :1]), (x, x[:, :1]), first_fits.perceptron([4], 2), bnn.likelihoods.Normal(), 0.01, 6
        )

    monkeypatch.setattr(defaults, "TASKS", {"made": task})
    words = ["--choices", "start 0.05", "warm-up", "--seeds", "0", "--output-dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["defaults.py", *words])
    defaults.main()
    found = json.loads((tmp_path / "defaults.json").read_text())
    by_choice = {row["choice"]: row["nll"] for row in found["trainings"]}
    assert found["nll"] == {"made": {name: round(nll, 4) for name, nll in by_choice.items()}}
    assert len(set(by_choice.values())) == 2
