"""The scripts, run briefly; one of them as a user runs it."""

import json

import numpy as np
import pytest
import scipy.special
import scipy.stats

import tfp_bnn as bnn
from scripts import train_lenet5
from scripts.common import reporting
from tests.scripts.script_runs import SCRIPTS, TRAIN, TRAIN_SMALL_NETWORK, run, run_here
from tests.support.on_backends import on_tensorflow_alone

LEARNED_PRIOR = ("--prior", "scale-mixture", "--learn-prior")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    arguments = (*TRAIN, *LEARNED_PRIOR, "--output-dir", directory)
    # The LeNet5 itself, which takes a minute to compile, is trained by test_readme.py.
    result = run(TRAIN_SMALL_NETWORK, *arguments, "--max-steps", 40, "--viz-every", 30)
    assert result.returncode == 0, result.stderr
    return directory, result


# On JAX, test_training.py predicts in the middle of a training, too.
@on_tensorflow_alone
def test_training_leaves_a_model_figures_and_pictures(trained):
    directory, result = trained
    pictures = {f"{name}{step}.png" for name in ("heldout", "noise", "weights") for step in ("", "_00030", "_00040")}
    files = {"model.keras", "history.csv", "metrics.json", "curves.png", "uncertainty.png"} | pictures
    assert files <= {path.name for path in directory.iterdir()}
    report = json.loads((directory / "metrics.json").read_text())
    assert report["finished"]
    assert report["steps"] == 40
    assert report["dataset"] == "mnist_sample"
    assert report["heldout"]["nll"] == -report["heldout"]["log_likelihood"] < 2.2  # of guesses it is log 10 = 2.30
    for name in ("heldout", "gaussian_noise", "uniform_noise"):
        assert 0 < report[name]["mean_mutual_information"] < report[name]["mean_entropy"] < 2.31
        assert 0 <= report[name]["fraction_refused"] <= 1
        # Each draw is surer below a temperature of 1 and less sure above; together they need not be.
        of_draws, scaled = (
            found[name]["mean_entropy"] - found[name]["mean_mutual_information"]
            for found in (report, report["at_temperature"])
        )
        assert (scaled < of_draws) == (report["temperature"] < 1)
    header, *rows = (directory / "history.csv").read_text().split()
    assert {"loss", "nll", "kl", "val_loss", "val_nll", "val_kl"} <= set(header.split(","))
    assert len(rows) == 2
    assert "devices:" in result.stderr
    lines = [line.split(" - ")[0].strip() for line in result.stdout.splitlines() if "/31 - " in line]
    assert lines == ["31/31", "9/31"]


@pytest.mark.parametrize("as_run", ["scripts/uci.py", str(SCRIPTS / "uci.py")], ids=["path", "module"])
def test_a_result_names_the_command_that_made_it(as_run, monkeypatch):
    monkeypatch.setattr("sys.argv", [as_run, "--steps", "3"])
    assert reporting.command().removeprefix("KERAS_BACKEND=jax ") == "python scripts/uci.py --steps 3"


@pytest.mark.parametrize(("arguments", "steps"), [((), 100), (("--epochs", "2"), 2 * 8), (("--epochs", "99"), 100)])
def test_the_learning_rate_falls_to_0_where_the_training_ends(arguments, steps, monkeypatch):
    line = ["train_lenet5.py", "--max-steps", "100", "--lr-schedule", "cosine", "--learning-rate", "0.01", *arguments]
    monkeypatch.setattr("sys.argv", line)
    args = train_lenet5.parse_arguments()
    assert train_lenet5.steps_in_all(args, num_examples=7 * 128 + 1) == steps
    rate = train_lenet5.learning_rate(args, steps)
    assert [float(rate(step)) for step in (0, steps // 2, steps)] == pytest.approx([0.01, 0.005, 0], abs=1e-8)
    args.lr_schedule = "constant"
    assert train_lenet5.learning_rate(args, steps) == 0.01


@on_tensorflow_alone
def test_a_saved_model_can_be_looked_at_again(trained, tmp_path, monkeypatch):
    directory, _ = trained
    drawn, predict = [], bnn.predict
    monkeypatch.setattr(bnn, "predict", lambda *args, **kwargs: drawn.append(predict(*args, **kwargs)) or drawn[-1])
    arguments = ("--dataset", "mnist_sample", "--num-draws", "5", "--num-noise", "20", "--output-dir", tmp_path)
    run_here("plot_uncertainty", directory / "model.keras", *arguments)
    names = {"heldout.png", "noise.png", "weights.png", "uncertainty.png", "uncertainty.json"}
    assert names == {path.name for path in tmp_path.iterdir()}
    # The same draws as at the end of the training, and their figures from the outputs themselves.
    metrics, report = (
        json.loads(path.read_text())["heldout"] for path in (tmp_path / "uncertainty.json", directory / "metrics.json")
    )
    assert metrics == pytest.approx(report, rel=1e-4)
    (outputs,) = {id(each): each.outputs for each in drawn if len(each) == 1000}.values()
    probabilities = scipy.special.softmax(outputs, axis=-1).mean(axis=0)
    labels = bnn.datasets.load("mnist_sample").y_test
    assert metrics["accuracy"] == (probabilities.argmax(axis=-1) == labels).mean() > 0.2
    assert metrics["nll"] == pytest.approx(-np.log(probabilities[np.arange(1000), labels]).mean(), rel=1e-4)
    assert metrics["mean_entropy"] == pytest.approx(scipy.stats.entropy(probabilities, axis=-1).mean(), rel=1e-4)


@on_tensorflow_alone
def test_the_regression_is_unsure_where_there_are_no_data(tmp_path):
    run_here("regression", "--steps", 1500, "--output-dir", tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["ratio"] > 2
    assert metrics["rmse_inside"] < 2
    assert metrics["prior"]["sigma_1"] != pytest.approx(1.0, abs=1e-3)
    assert {"regression.png", "curves.png", "model.keras"} <= {path.name for path in tmp_path.iterdir()}
