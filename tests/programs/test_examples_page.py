"""The programs of docs/examples.md run as they stand there."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from benchmarks import readme_regression
from tests.support.on_backends import on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "examples.md").read_text()
REGRESSION, LENET5, TABLE, OWN_MODEL, ANYTHING, EXPORT, PRUNING = re.findall(
    r"```python\n(.*?)```", PAGE, flags=re.DOTALL
)


@pytest.mark.jax_if_thorough
def test_the_regression_program_fits_and_is_unsure_outside_the_data():
    names = {}
    keras.utils.set_random_seed(0)
    assert "num_examples=len(x)" in REGRESSION
    exec(REGRESSION, names)
    assert names["predictive"].draws.shape == (500, 301, 1)
    found = readme_regression.figures(names)
    assert found["mse"] < 1.5  # the noise has 1
    assert found["ratio"] > 4


@on_tensorflow_alone
def test_the_lenet5_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images, labels = rng.random((128, 28, 28, 1)).astype("float32"), rng.integers(0, 10, 128)
    names = {
        "bnn": bnn,
        "keras": keras,
        "x_train": images,
        "y_train": labels,
        "x_test": images[:5],
        "y_test": labels[:5],
    }
    assert "num_draws=1000" in LENET5
    exec(LENET5.replace("epochs=10", "epochs=2").replace("num_draws=1000", "num_draws=60"), names)
    assert names["predictive"].draws.shape == (50, 5, 10)
    assert (tmp_path / "lenet5.keras").is_file()


@on_tensorflow_alone
def test_the_program_for_a_table_runs():
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert "model.fit(x, y)" in TABLE
    names = {"bnn": bnn, "x": x, "y": 1e3 * x[:, 0], "x_test": x[:5]}
    exec(TABLE.replace("model.fit(x, y)", "model.fit(x, y, steps=10, verbose=0)"), names)
    assert names["low"].shape == names["high"].shape == (5, 1)


@on_tensorflow_alone
def test_the_program_for_a_model_of_ones_own_runs(capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile("adam", loss=bnn.likelihoods.Normal(1.0))
    x, y = np.random.default_rng(0).normal(size=(2, 32, 3)).astype("float32")
    names = {"bnn": bnn, "keras_model": model, "x": x, "y": y[:, :1]}
    exec(OWN_MODEL, names)
    assert [type(layer).__module__.split(".")[0] for layer in names["head_only"].layers] == ["keras", "tfp_bnn"]
    assert not bnn.layers.variational_layers(names["point"])
    assert "Diagnosis" in capsys.readouterr().out


@on_tensorflow_alone
def test_the_program_for_any_prediction_runs():
    entry, x = keras.Input((3,)), np.ones((8, 3), "float32")
    heads = {name: bnn.layers.Dense(2, name=name)(entry) for name in ("kind", "price")}
    model, two_headed = keras.Model(entry, heads["kind"]), keras.Model(entry, heads)
    segmenter = keras.Sequential([keras.Input((4, 4, 1)), bnn.layers.Conv2D(2, 1)])
    model.compile(loss=bnn.likelihoods.Categorical())
    segmenter.compile(loss=bnn.likelihoods.Categorical())
    two_headed.compile(loss={"kind": bnn.likelihoods.Categorical(), "price": bnn.likelihoods.Normal()})
    another = keras.models.clone_model(model)
    names = {"bnn": bnn, "model": model, "segmenter": segmenter, "two_headed": two_headed, "x": x, "another": another}
    another.compile(loss=bnn.likelihoods.Categorical())
    exec(ANYTHING, names | {"images": np.ones((2, 4, 4, 1)), "dataset": iter([(x, np.zeros(8, int))])})


@on_tensorflow_alone
def test_the_export_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((3,)), bnn.layers.Dense(2)])
    model.compile(loss=bnn.likelihoods.Categorical())
    assert "num_draws=50" in EXPORT
    exec(EXPORT.replace("num_draws=50", "num_draws=2"), {"bnn": bnn, "model": model})
    assert (tmp_path / "model.onnx").stat().st_size > 0


@on_tensorflow_alone
def test_the_pruning_runs():
    model = keras.Sequential([keras.Input((10,)), bnn.layers.Dense(20), bnn.layers.Dense(2)])
    names = {"bnn": bnn, "model": model}
    exec(PRUNING, names)
    assert bnn.count_weights(names["small"]).kept == 12  # of 240
    assert isinstance(names["learner"].layers[0].prior, bnn.priors.EarlierPosterior)
