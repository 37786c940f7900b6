"""The regression on the UCI sets: its figures have known answers, and brief runs of the script leave what they say."""

import json
import re

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tfp_bnn as bnn
from scripts import uci
from scripts.common import reporting
from scripts.data import uci_data
from scripts.learning import uci_learning
from tests.support.on_backends import on_tensorflow_alone

BRIEF = ("--sets", "yacht", "--splits", 0, 1, "--steps", 400, "--units", 20, "--num-draws", 20, "--learning-rate", 0.02)
BRIEF += ("--dropout-rates", 0.05, "--likelihoods", "normal")
NOISE_STDDEV = 0.5


def write_data(directory, seed=0):
    """Writes uci/yacht.npz, 200 rows of y = 10 + 3 x_0 - 0.2 x_1 + noise; x_2 is constant. Returns its arrays."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(5, 2, 200), rng.normal(0, 30, 200), np.full(200, 7.0)])
    y = 10 + 3 * x[:, 0] - 0.2 * x[:, 1] + NOISE_STDDEV * rng.normal(size=200)
    orders = np.stack([rng.permutation(200) for _ in range(20)])
    arrays = {"x": x, "y": y, "train": orders[:, :160], "test": orders[:, 160:]}
    (directory / "uci").mkdir()
    np.savez(directory / "uci" / "yacht.npz", **arrays)
    return arrays


def run(*arguments):
    """Runs the script in this process: importing takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["uci.py", *map(str, arguments)])
        uci.main()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uci_run")
    arrays = write_data(directory)
    run("--data-dir", directory, *BRIEF, "--output-dir", directory / "out")
    return directory, arrays


@on_tensorflow_alone
def test_both_methods_beat_the_mean_and_their_figures_are_written(finished):
    directory, arrays = finished
    report = json.loads((directory / "out" / "uci.json").read_text())
    assert [(row["method"], row["split"]) for row in report["rows"]] == [
        ("bayes", 0),
        ("bayes", 1),
        ("dropout", 0),
        ("dropout", 1),
    ]
    for row in report["rows"]:
        train, test = arrays["y"][arrays["train"][row["split"]]], arrays["y"][arrays["test"][row["split"]]]
        assert row["rmse"] < 0.5 * np.sqrt(np.mean((test - train.mean()) ** 2))
        assert row["log_likelihood"] > stats.norm(train.mean(), train.std()).logpdf(test).mean()
        assert 0 <= row["coverage"] <= 1
        assert row["width"] > 0
    names = {f"yacht-{method}-split{split}.json" for method in ("bayes", "dropout") for split in (0, 1)}
    assert names | {"yacht-bayes-choice.json", "yacht-dropout-choice.json", "uci.json", "uci.png"} == {
        path.name for path in (directory / "out").iterdir()
    }


@on_tensorflow_alone
def test_the_summary_is_the_mean_over_splits_with_its_standard_error(finished):
    report = json.loads((finished[0] / "out" / "uci.json").read_text())
    for method in ("bayes", "dropout"):
        for measure in ("rmse", "log_likelihood", "coverage", "width"):
            values = [row[measure] for row in report["rows"] if row["method"] == method]
            found = report["summary"]["yacht"][method][measure]
            assert found["mean"] == pytest.approx(np.mean(values))
            assert found["standard_error"] == pytest.approx(abs(values[0] - values[1]) / 2)


@on_tensorflow_alone
def test_a_resumed_run_trains_what_is_missing_as_the_first_one_did_and_nothing_else(finished):
    directory, _ = finished
    before = {path: path.read_text() for path in (directory / "out").glob("yacht-*.json")}
    there, missing = (directory / "out" / f"yacht-bayes-split{split}.json" for split in (0, 1))
    there.write_text(json.dumps({**json.loads(before[there]), "rmse": 123.0}))
    missing.unlink()
    try:
        run("--data-dir", directory, *BRIEF, "--output-dir", directory / "out")
        first, second, *_ = json.loads((directory / "out" / "uci.json").read_text())["rows"]
        assert first["rmse"] == 123.0
        # It is now the first network of its model, not the second.
        assert second["log_likelihood"] == pytest.approx(json.loads(before[missing])["log_likelihood"], rel=1e-3)
    finally:
        for path, text in before.items():
            path.write_text(text)


@on_tensorflow_alone
def test_figures_of_other_arguments_are_not_mixed_in(finished):
    directory, _ = finished
    arguments = ("--data-dir", directory, *BRIEF, "--output-dir", directory / "out", "--batch-size", 7)
    with pytest.raises(reporting.ScriptError, match=r"other arguments.*Received: batch_size=7"):
        run(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-dir", "nowhere"), "uci/boston.npz. Received: nowhere"),
        (("--splits", 20), "--splits must be from 0 to 19. Received: [20]"),
        (("--warmup", 0), "--warmup must be above 0 and at most 1. Received: 0.0"),
        (("--steps", 0), "--steps must be at least 1. Received: 0"),
        (("--dropout-rates", 0.1, 1), "--dropout-rates must be between 0 and 1. Received: [0.1, 1.0]"),
    ],
)
def test_missing_data_and_bad_arguments_are_one_line_before_any_work(arguments, message, tmp_path):
    with pytest.raises(reporting.ScriptError, match=re.escape(message)):
        run(*arguments, "--output-dir", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_without_the_arrays_is_one_clear_error(tmp_path):
    (tmp_path / "uci").mkdir()
    np.savez(tmp_path / "uci" / "wine.npz", x=np.zeros((3, 2)))
    with pytest.raises(reporting.ScriptError, match=r"must hold the arrays x, y, train, test\. Received: .*y"):
        uci_data.load("wine", str(tmp_path))


def test_training_rows_alone_standardise_and_validation_rows_are_none_of_the_test(tmp_path):
    arrays = write_data(tmp_path)
    data = uci_data.load("yacht", str(tmp_path))
    split = data.split(3)
    np.testing.assert_allclose(split.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(split.x_train.std(axis=0), [1, 1, 0], atol=1e-5)
    train, test = arrays["train"][3], arrays["test"][3]
    mean, stddev = arrays["y"][train].mean(), arrays["y"][train].std()
    assert split.y_stddev == pytest.approx(stddev)
    np.testing.assert_allclose(split.y_test[:, 0] * stddev + mean, arrays["y"][test], rtol=1e-4)
    held_out = data.split(3, validate=True)
    assert (len(held_out.x_train), len(held_out.x_test)) == (128, 32)

    def distances(values):
        return np.diff(np.sort(values))

    everything = np.concatenate([held_out.y_train, held_out.y_test])[:, 0] * held_out.y_stddev
    np.testing.assert_allclose(distances(everything), distances(arrays["y"][train]), atol=1e-4)


def test_a_set_takes_the_likelihood_and_the_dropout_rate_that_are_best_on_validation_rows(tmp_path, monkeypatch):
    write_data(tmp_path)
    data, tried = uci_data.load("yacht", str(tmp_path)), []

    def log_likelihood(learner, split, seed):
        tried.append((len(split.x_train), len(split.x_test)))
        # Two likelihoods, two rates each, three splits: the third choice is best on average, the last on one split.
        of_choices = (-3.0, -3.0, -3.0), (-2.0, -2.0, -2.0), (-1.0, -2.0, -1.0), (-9.0, -9.0, 0.0)
        return of_choices[(len(tried) - 1) // 3][(len(tried) - 1) % 3]

    monkeypatch.setattr(uci, "measure_log_likelihood", log_likelihood)
    monkeypatch.setattr("sys.argv", ["uci.py", "--dropout-rates", "0.3", "0.2", "--output-dir", str(tmp_path)])
    args = uci.parse_arguments()
    for _ in range(2):  # The second time it is read.
        chosen = uci.choose("yacht", "dropout", data, args)
        assert chosen == {"likelihood": "student-t", "dropout_rate": 0.3}
    assert tried == [(128, 32)] * 12
    assert uci.choices("bayes", args) == [{"likelihood": "normal"}, {"likelihood": "student-t"}]


def test_dropout_drops_other_units_in_each_draw_and_row(tmp_path, monkeypatch):
    write_data(tmp_path)
    split = uci_data.load("yacht", str(tmp_path)).split(0)
    monkeypatch.setattr("sys.argv", ["uci.py", "--steps", "50", "--num-draws", "10"])
    learner = uci.learner_of("dropout", uci.parse_arguments(), likelihood="normal", dropout_rate=0.5)
    learner.fit(split, seed=0)
    draws = learner.predict(np.tile(split.x_test[:1], (8, 1)), seed=0).outputs[..., 0]
    assert draws.shape == (10, 8)
    assert len(np.unique(draws)) == 80


def test_figures_of_a_known_mixture_are_those_of_its_formulas():
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=(7, 5, 1)), rng.uniform(0.3, 2, size=(7, 5, 1))
    y, stddev = rng.normal(size=(5, 1)), 3.0
    likelihood = bnn.likelihoods.Normal(min_scale=1e-7)
    outputs = np.concatenate([loc, 2 * np.sinh(np.log(scale))], axis=-1)
    found = uci_learning.figures(bnn.Predictive(outputs, likelihood), y.astype("float32"), stddev)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((stddev * (loc.mean(axis=0) - y)) ** 2)), rel=1e-5)
    density = stats.norm(stddev * loc, stddev * scale).pdf(stddev * y).mean(axis=0)
    assert found["log_likelihood"] == pytest.approx(np.log(density).mean(), rel=1e-5)
    # The quantiles by many draws of the mixture.
    draws = stddev * (loc + scale * rng.normal(size=(20_000, 7, 5, 1))).reshape(-1, 5)
    lower, upper = np.quantile(draws, (0.025, 0.975), axis=0)
    assert found["width"] == pytest.approx((upper - lower).mean(), rel=0.02)
    inside = (lower <= stddev * y[:, 0]) & (stddev * y[:, 0] <= upper)
    assert found["coverage"] == pytest.approx(inside.mean())


def test_noise_that_may_not_vary_yet_is_the_same_everywhere():
    layer = uci_learning.VaryingNoise()
    outputs = np.array([[1.0, 2.0], [3.0, 5.0]], "float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(outputs)), [[1, 0], [3, 0]])
    layer.constant.assign(0.5)
    layer.share.assign(0.1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(outputs)), [[1, 0.7], [3, 1.0]], rtol=1e-6)


def arguments(*words):
    return uci.parse_arguments([*map(str, words)])


def split_of(rows):
    x, y = np.zeros((rows, 3), "float32"), np.zeros((rows, 1), "float32")
    return uci_data.Split(x, y, x[:2], y[:2], 1.0)


@on_tensorflow_alone
def test_the_kl_term_and_the_varying_noise_come_in_linearly_and_count_whole_at_the_end(monkeypatch):
    seen = []

    def no_training(model, make_batch):
        layers = bnn.layers.variational_layers(model)

        def learn(x, y):
            seen.append([float(model.layers[-1].share), *(layer.kl_weight for layer in layers), x.shape])

        return learn

    monkeypatch.setattr(uci_learning, "compiled_steps", no_training)
    learner = uci.learner_of("bayes", arguments("--units", 2, "--warmup", 0.5, "--steps", 200), likelihood="normal")
    learner.fit(split_of(rows=40), seed=0)
    shares = np.minimum(1, np.arange(1, 51) / 25)
    np.testing.assert_allclose([each[0] for each in seen], shares, rtol=1e-6)
    np.testing.assert_allclose([each[1] for each in seen], shares / 40, rtol=1e-6)
    np.testing.assert_allclose([each[2] for each in seen], shares / 40, rtol=1e-6)
    assert {each[-1] for each in seen} == {(4, 40, 3)}  # 200 steps in 50 calls, of all rows, fewer than a batch


@on_tensorflow_alone
def test_the_weight_decay_of_dropout_is_the_density_of_its_prior():
    network = uci_learning.dropout_network(split_of(rows=40), arguments("--units", 2, "--weight-scale", 0.25), 0.1)
    kernels = [weights for weights in network.get_weights() if weights.ndim == 2]
    # -log N(w | 0, 0.25^2) but for a constant, in nats a row.
    log_densities = sum(
        (stats.norm(scale=0.25).logpdf(each) - stats.norm(scale=0.25).logpdf(0)).sum() for each in kernels
    )
    assert float(sum(network.losses)) == pytest.approx(-log_densities / 40, rel=1e-5)
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.1]


@on_tensorflow_alone
def test_settings_are_chosen_on_rows_that_no_network_learned_from(tmp_path):
    write_data(tmp_path)
    data = uci_data.load("yacht", str(tmp_path))
    for number in (0, 7):
        (train, validation), (whole, test) = data.rows(number, validate=True), data.rows(number)
        assert sorted([*train, *validation]) == sorted(whole)
        assert not set(train) & set(validation)
        assert not set(test) & {*train, *validation}


def test_one_method_alone_can_be_drawn():
    rows = [{"set": "wine", "method": "bayes", "log_likelihood": -1.0 - k, "coverage": 0.9} for k in range(3)]
    panel, coverage, *_ = uci.draw(pd.DataFrame(rows)).axes
    assert panel.get_title() == "wine"
    (literature,) = [line for line in panel.collections if line.get_label() == "literature"]
    assert literature.get_segments()[0][:, 1].tolist() == [-0.97, -0.97]
    assert coverage.get_ylabel() == "Coverage"


def test_a_choice_whose_training_diverged_is_not_taken(tmp_path, monkeypatch):
    write_data(tmp_path)
    data, found = uci_data.load("yacht", str(tmp_path)), iter([np.nan, -1.0, -1.0, -2.0, -2.0, -2.0])
    monkeypatch.setattr(uci, "measure_log_likelihood", lambda *arguments: next(found))
    monkeypatch.setattr("sys.argv", ["uci.py", "--output-dir", str(tmp_path)])
    assert uci.choose("yacht", "bayes", data, uci.parse_arguments()) == {"likelihood": "student-t"}


@on_tensorflow_alone
def test_that_every_training_diverged_is_said(tmp_path):
    write_data(tmp_path)
    brief = [word if word != 0.02 else 1e30 for word in BRIEF]
    with pytest.raises(reporting.ScriptError, match="Every training diverged"):
        run("--data-dir", tmp_path, *brief, "--likelihoods", "normal", "student-t", "--output-dir", tmp_path / "out")
