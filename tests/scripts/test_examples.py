"""The short examples, run in this process in their quick mode: what each shows must be true."""

import json

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import classify_text, forecast, last_layer, tabular, transformer
from scripts.common import reporting
from scripts.data import made_sentences
from tests.support.on_backends import on_jax_alone, on_tensorflow_alone


def run(command, directory, monkeypatch, *arguments):
    """Runs a command's `main` quickly; returns what it reports."""
    words = [f"{command.__name__}.py", "--quick", "--num-draws", "30", "--output-dir", str(directory)]
    monkeypatch.setattr("sys.argv", [*words, *map(str, arguments)])
    command.main()
    assert {"model.keras", "metrics.json"} < {path.name for path in directory.iterdir()}
    return json.loads((directory / "metrics.json").read_text())


def five_errors(share, number):
    """Five standard errors of a share of so many independent ones."""
    return 5 * np.sqrt(share * (1 - share) / number)


# Each on one backend, so that neither has all the work.
@on_jax_alone
def test_a_table_of_patients_has_intervals_that_hold(tmp_path, monkeypatch, capsys):
    report = run(tabular, tmp_path, monkeypatch)
    rows = report["rows"]
    assert "Bayesian network" in capsys.readouterr().out
    network, same = rows["Bayesian network"], rows["the same for everyone"]
    patients = round(0.4 * 442)
    assert abs(network["in 90 % interval"] - 0.9) < five_errors(0.9, patients)
    assert abs(network["in 50 % interval"] - 0.5) < five_errors(0.5, patients)
    assert network["rmse"] < 0.9 * same["rmse"]
    assert network["nats"] > same["nats"] + 0.1
    assert network["width of 90 %"] < same["width of 90 %"]
    assert report["arguments"]["epochs"] == 30
    assert (tmp_path / "observed.png").exists()


@on_tensorflow_alone
def test_words_never_read_raise_the_doubt(tmp_path, monkeypatch):
    report = run(classify_text, tmp_path, monkeypatch)
    known, new = report["rows"]["words read before"], report["rows"]["words never read"]
    assert known["accuracy"] > 0.9  # chance is 0.5, and one label in twenty of the training was wrong
    assert abs(new["accuracy"] - 0.5) < 0.3  # four words: nothing is known of them
    assert new["mutual information"] > 2 * known["mutual information"]
    assert new["entropy"] > known["entropy"] + 0.1
    assert report["auroc"] > 0.8
    assert (tmp_path / "entropy.png").exists()


def test_not_turns_an_adjective_round_and_no_new_word_is_in_the_training():
    texts, labels = made_sentences.make(300, made_sentences.KNOWN, np.random.default_rng(0))
    for text, label in zip(texts, labels, strict=True):
        words = text.split()
        assert label == ((words[-1] in made_sentences.GOOD) != ("not" in words))
        assert not set(words) & set(made_sentences.NEW)
    tokens = made_sentences.tokens(texts)
    assert tokens.shape == (300, made_sentences.LENGTH)
    assert [made_sentences.WORDS[token] for token in tokens[0] if token] == texts[0].split()
    wrong = made_sentences.with_wrong_labels(np.zeros(10_000, int), 0.1, np.random.default_rng(0))
    assert abs(wrong.mean() - 0.1) < five_errors(0.1, 10_000)


@on_jax_alone
def test_a_transformer_becomes_bayesian_whole(tmp_path, monkeypatch):
    report = run(transformer, tmp_path, monkeypatch)
    layers = ["table", "positions", "attention", "hidden", "out", "logits"]
    assert report["bayesian_layers"] == layers
    rows = report["rows"]
    assert rows["Bayesian, trained on"]["accuracy"] > 0.8  # chance is 0.5, 0.9 the best
    assert rows["Bayesian, trained on"]["nll"] < rows["plain, trained on"]["nll"] + 0.02
    assert rows["who knows the rule"]["nll"] == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in bnn.layers.variational_layers(model)] == layers
    assert (tmp_path / "reliability.png").exists()


@on_jax_alone
def test_forecasts_have_intervals_that_hold_and_know_where_the_noise_is(tmp_path, monkeypatch):
    report = run(forecast, tmp_path, monkeypatch)
    rows = report["rows"]
    # Each later value is in six forecasts: there are 1,200 independent ones.
    for level in (0.5, 0.9):
        inside = rows["all values"][f"in {100 * level:g} % interval"]
        assert level - five_errors(level, 1200) < inside < level + 0.15
    assert rows["noise of 0.3"]["width of 90 %"] > 1.3 * rows["noise of 0.1"]["width of 90 %"]
    # The signal alone has a standard deviation of 0.79, the noise one of 0.22.
    assert rows["all values"]["rmse"] < 0.5
    assert (tmp_path / "forecast.png").exists()


def test_stretches_are_followed_by_their_values():
    x, y = forecast.windows(np.arange(100.0))
    assert x.shape == (100 - 42 + 1, 36, 1)
    np.testing.assert_array_equal(x[3, :, 0], np.arange(3, 39))
    np.testing.assert_array_equal(y[3], np.arange(39, 45))


@on_jax_alone
def test_a_bayesian_last_layer_keeps_the_accuracy_and_doubts_turned_digits(tmp_path, monkeypatch):
    report = run(last_layer, tmp_path, monkeypatch)
    plain, bayesian = report["rows"]["plain, trained on"], report["rows"]["Bayesian last layer"]
    assert bayesian["accuracy"] > 0.85
    assert bayesian["accuracy"] > plain["accuracy"] - 0.03
    assert bayesian["nll"] < plain["nll"] + 0.05
    assert bayesian["entropy, turned"] > 1.3 * bayesian["entropy"]
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in bnn.layers.variational_layers(model)] == ["last"]


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (tabular, ("--test-share", 1), "--test-share must lie between 0 and 1. Received: 1.0"),
        (last_layer, ("--num-images", 5), "--num-images must be from 10 to 1787. Received: 5"),
        (forecast, ("--epochs", 0), "--epochs must be at least 1. Received: 0"),
        (classify_text, ("--learning-rate", 0), "--learning-rate must be positive. Received: 0.0"),
    ],
)
def test_bad_arguments_are_one_line_before_any_work(command, arguments, message, monkeypatch, tmp_path):
    with pytest.raises(reporting.ScriptError, match=message):
        run(command, tmp_path / "new", monkeypatch, *arguments)
    assert not (tmp_path / "new").exists()


def test_a_quick_run_has_the_epochs_that_are_given(monkeypatch):
    for arguments, epochs in ((("--quick",), 20), (("--quick", "--epochs", "3"), 3), ((), 30)):
        monkeypatch.setattr("sys.argv", ["forecast.py", *arguments])
        assert forecast.parse_arguments().epochs == epochs
