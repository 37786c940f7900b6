"""The script that makes a plain classifier Bayesian, run in this process on small images that are made."""

import json

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import convert
from scripts.common import reporting
from scripts.data import npz_images
from scripts.learning import conversion, plain_networks
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

SIDE, CLASSES = 8, 4
ROWS = {
    name + temperature
    for name in ("plain, before", "plain, trained on", "Bayesian, trained on")
    for temperature in ("", ", at its temperature")
}


def made_images(number, seed):
    """Noise images with one brighter quarter, which is the label; some labels are wrong, so that none may be sure."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=number)
    images = rng.uniform(0, 0.5, (number, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 0.4
    wrong = rng.random(number) < 0.1
    return images.astype("float32"), np.where(wrong, (labels + 1) % CLASSES, labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "quarters.npz"
    (x_train, y_train), (x_test, y_test) = made_images(600, 0), made_images(500, 1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def run(monkeypatch, model, *arguments):
    monkeypatch.setattr("sys.argv", ["convert.py", str(model), *map(str, arguments)])
    convert.main()


def test_a_small_cnn_is_trained_converted_and_compared(data, tmp_path, monkeypatch, capsys):
    brief = ("--plain-epochs", 3, "--plain-learning-rate", 0.003, "--epochs", 1, "--num-draws", 10)
    run(
        monkeypatch,
        "small-cnn",
        "--data",
        data,
        *brief,
        "--output-dir",
        tmp_path,
        "--json",
        tmp_path / "new" / "a.json",
    )
    report = json.loads((tmp_path / "new" / "a.json").read_text())
    rows = report["runs"][0]["rows"]
    assert set(rows) == set(report["mean"]) == ROWS
    for name, row in rows.items():
        # 90 of 100 at best, 25 by chance: the standard error is 1.3.
        assert 60 < row["accuracy_percent"] < 90 + 5 * 1.3, name
        assert row["nll"] < np.log(CLASSES)
        assert 0 <= row["ece"] < 0.3
    printed = capsys.readouterr().out
    assert all(name in printed for name in ROWS)
    assert report["command"].startswith("python ")
    bayesian, plain = (keras.saving.load_model(tmp_path / f"{name}.keras") for name in ("model", "plain"))
    assert len(bnn.layers.variational_layers(bayesian)) == 4
    assert report["runs"][0]["weights"] == plain.count_params()
    assert (tmp_path / "reliability.png").exists()
    # What the table says of the saved plain network is what that network does.
    dataset = npz_images.load(data)
    right = plain.predict(dataset.x_test, verbose=0).argmax(axis=-1) == dataset.y_test
    assert rows["plain, before"]["accuracy_percent"] == pytest.approx(100 * right.mean())


def test_a_saved_model_that_ends_in_a_softmax_gets_a_bayesian_last_layer(data, tmp_path, monkeypatch):
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), keras.layers.Dense(CLASSES, activation="softmax")]
    )
    images, labels = made_images(900, 0)
    model.compile(keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")
    model.fit(images[..., np.newaxis], labels, epochs=3, verbose=0)
    model.save(tmp_path / "mine.keras")
    brief = ("--epochs", 1, "--num-draws", 5, "--layers", "last", "--judge", "validation")
    run(monkeypatch, tmp_path / "mine.keras", "--data", data, *brief, "--output-dir", tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "convert.json").read_text())["runs"][0]["rows"]
    assert set(rows) == {"plain, before", "plain, trained on", "Bayesian, trained on"}
    assert min(row["accuracy_percent"] for row in rows.values()) > 60
    bayesian = keras.saving.load_model(tmp_path / "out" / "model.keras")
    assert not bayesian.loss.from_logits
    assert [layer.name for layer in bnn.layers.variational_layers(bayesian)] == [model.layers[-1].name]


def test_figures_of_several_seeds_are_averaged():
    runs = [{"rows": {"a": {"nll": 0.25}, "b": {"nll": 1.0}}}, {"rows": {"a": {"nll": 0.75}}}]
    assert convert.mean_rows(runs) == {"a": {"nll": 0.5}}


def test_a_temperature_of_the_validation_images_is_taken_for_the_others():
    outputs = np.tile([4.0, 0.0], (1, 1000, 1))  # 98 % sure
    labels = np.repeat([0, 1], (900, 100))  # 90 % right
    predictive = bnn.Predictive(outputs, bnn.likelihoods.Categorical())
    rows = conversion.judged({"a": predictive}, labels, {"a": predictive}, labels)
    assert rows["a"]["ece"] == pytest.approx(1 / (1 + np.exp(-4)) - 0.9, abs=1e-6)
    assert rows["a, at its temperature"]["ece"] == pytest.approx(0, abs=1e-3)
    assert rows["a, at its temperature"]["temperature"] == pytest.approx(4 / np.log(9), abs=1e-2)


def test_a_network_of_keras_applications_gets_images_as_it_wants_them(monkeypatch):
    seen = []

    def body(include_top, weights, input_shape, pooling):
        assert (include_top, weights, pooling) == (False, None, "avg")
        seen.append(input_shape)
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))

    # Pixels from -1 to 1 are what it wants.
    body.__module__ = plain_networks.APPLICATIONS["MobileNetV2"].__module__
    monkeypatch.setitem(plain_networks.APPLICATIONS, "MobileNetV2", body)
    model = plain_networks.make("MobileNetV2", (28, 28, 1), 3, side=32)
    model.layers[-1].set_weights([np.eye(3), np.zeros(3)])
    images = np.stack([np.full((28, 28, 1), pixel, "float32") for pixel in (0.0, 0.5, 1.0)])
    outputs = model.predict(images, verbose=0)
    np.testing.assert_allclose(outputs, np.tile([[-1.0], [0.0], [1.0]], (1, 3)), atol=1e-5)
    assert seen == [(32, 32, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet50",), "MODEL must be a .keras file, small-cnn or a name of keras.applications .* Received: resnet50"),
        (("none.keras",), "There is no model at the path that was given. Received: none.keras"),
        (("small-cnn", "--epochs", 0), "--epochs must be at least 1. Received: 0"),
        (("small-cnn", "--beta", -1), "--beta must be positive. Received: -1"),
        (("small-cnn", "--data", "a.npz", "--dataset", "mnist"), "Give --data, or --dataset .* Received: --data a.npz"),
    ],
)
def test_bad_arguments_are_one_line_before_any_work(arguments, message, monkeypatch, tmp_path):
    with pytest.raises(reporting.ScriptError, match=message):
        run(monkeypatch, *arguments, "--output-dir", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_test": None}, "must be a .npz file of x_train, y_train, x_test, y_test. Received: .*x_test"),
        ({"x_train": np.zeros((6, 4))}, r"Images must be \[n, height, width\] .* Received: \(6, 4\)"),
        ({"y_test": np.zeros(2)}, r"one integer from 0 on for each of 2 images. Received: shape \(2,\), float64"),
        ({"y_test": np.zeros(3, int)}, r"for each of 2 images. Received: shape \(3,\)"),
    ],
)
def test_a_file_that_holds_something_else_is_one_line(changed, message, tmp_path):
    arrays = {"x_train": np.zeros((6, 4, 4)), "y_train": np.zeros(6, int)}
    arrays |= {"x_test": np.zeros((2, 4, 4)), "y_test": np.zeros((2, 1), int)}
    path = tmp_path / "data.npz"
    np.savez(path, **{name: array for name, array in {**arrays, **changed}.items() if array is not None})
    with pytest.raises(reporting.ScriptError, match=message):
        npz_images.load(path)


def test_bytes_are_pixels_from_0_to_1(tmp_path):
    images = np.full((2, 4, 4, 3), 255, "uint8")
    np.savez(tmp_path / "a.npz", x_train=images, y_train=[0, 2], x_test=images, y_test=[[1], [0]])
    dataset = npz_images.load(tmp_path / "a.npz")
    assert dataset.x_train.shape == (2, 4, 4, 3)
    assert dataset.x_train.max() == 1
    assert dataset.y_test.tolist() == [1, 0]
    assert dataset.class_names == ("0", "1", "2")
