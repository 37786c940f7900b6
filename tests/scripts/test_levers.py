"""The levers of image networks: what settings are, the images that they see, and the command once."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import levers
from scripts.common import reporting
from scripts.data.augmented_images import MOST_SHIFT, AugmentedImages
from scripts.learning import image_settings
from scripts.learning.image_settings import SETTINGS, START, Schedule, Setting
from tests.scripts.script_runs import run_here
from tests.support.on_backends import numpy, on_tensorflow_alone

pytestmark = on_tensorflow_alone

RNG = np.random.default_rng(0)


def made_dataset(number):
    """Returns images whose mean brightness tells their class."""
    labels = np.arange(number, dtype="int32") % 2
    images = (labels[:, None, None, None] + RNG.random((number, 6, 6, 1), "float32")) / 2
    return bnn.datasets.Dataset("made", "here", images, labels, images, labels, class_names=("a", "b"))


def looks(image):
    """Yields all that an image may look like."""
    height, width = image.shape[:2]
    padded = np.pad(image, [(MOST_SHIFT, MOST_SHIFT), (MOST_SHIFT, MOST_SHIFT), (0, 0)])
    for top in range(2 * MOST_SHIFT + 1):
        for left in range(2 * MOST_SHIFT + 1):
            shifted = padded[top : top + height, left : left + width]
            yield from (shifted, shifted[:, ::-1])


def test_each_image_is_shown_once_an_epoch_flipped_or_shifted():
    images, labels = RNG.random((7, 6, 5, 1), "float32"), np.arange(7)
    shown = AugmentedImages(images, labels, batch_size=3, seed=0)
    assert len(shown) == 3
    batches = [shown[index] for index in range(3)]
    assert [len(y) for _, y in batches] == [3, 3, 1]
    order = np.concatenate([y for _, y in batches])
    assert sorted(order) == list(range(7))
    for x, label in zip(np.concatenate([x for x, _ in batches]), order, strict=True):
        assert any(np.array_equal(x, look) for look in looks(images[label]))
    shown.on_epoch_end()
    assert not np.array_equal(np.concatenate([shown[index][1] for index in range(3)]), order)


def test_images_are_shown_in_all_their_looks():
    image = RNG.random((1, 6, 5, 1), "float32")
    shown = AugmentedImages(np.repeat(image, 2000, axis=0), np.zeros(2000), batch_size=2000, seed=0)
    counts = [(shown[0][0] == look).all(axis=(1, 2, 3)).sum() for look in looks(image[0])]
    # 50 looks of 40 images each; six standard deviations of a binomial one.
    assert len(counts) == 50
    assert max(abs(count - 40) for count in counts) < 6 * np.sqrt(40)


def test_each_lever_moves_one_thing():
    alone = {
        name: setting for name, setting in SETTINGS.items() if setting.network == "bayesian" and "together" not in name
    }
    start = dataclasses.asdict(START)
    for name, setting in alone.items():
        changed = {field for field, value in dataclasses.asdict(setting).items() if value != start[field]}
        assert len(changed) == (name != "start"), name


def test_levers_reach_the_network_and_its_training(monkeypatch):
    dataset = made_dataset(8)
    setting = Setting(
        estimator="antithetic", fan_in_stddev=0.1, prior_scale="fitted", beta=0.3, warmup=0.5, averages=True
    )
    model = image_settings.make_model(setting, dataset)
    first, *_ = bnn.layers.variational_layers(model)
    assert first.get_config()["estimator"] == "antithetic"
    assert float(first.random_weights["kernel"][0].read().stddev[0, 0, 0, 0]) == pytest.approx(0.1 / 5)
    seen = {}
    monkeypatch.setattr(model, "fit", lambda *data, **options: seen.update(options))
    image_settings.fit(model, setting, Schedule(4, 2, 0.01), dataset.x_train, dataset.y_train, seed=0)
    weight, fits_prior = seen["callbacks"]
    assert (weight.beta, weight.num_examples) == (0.3, 8)
    # Half of four epochs, counted at the end of each batch.
    assert [weight.schedule(epoch, 0, 1) for epoch in range(4)] == pytest.approx([0.5, 1.0, 1.0, 1.0])
    assert isinstance(fits_prior, bnn.callbacks.FitPriorScale)
    assert model.optimizer.use_ema
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


def test_batch_normalization_takes_the_place_of_group_normalization():
    model = image_settings.make_model(Setting(normalization="batch"), made_dataset(2))
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(keras.layers.BatchNormalization) == 3
    assert keras.layers.GroupNormalization not in kinds
    assert len(bnn.layers.variational_layers(model)) == 4


def test_dropout_is_of_predictions_too():
    dataset = made_dataset(8)
    setting = Setting(network="dropout")
    model = image_settings.make_model(setting, dataset)
    outputs = image_settings.predict(model, setting, dataset.x_test, 100, seed=0).outputs
    assert outputs.shape == (100, 8, 2)
    assert not np.allclose(*outputs[:2])
    plain = keras.Sequential([layer for layer in model.layers if not isinstance(layer, keras.layers.Dropout)])
    # Masks keep the mean of what the last layer is given.
    mean, stddev = outputs.mean(axis=0), outputs.std(axis=0)
    np.testing.assert_array_less(np.abs(mean - numpy(plain(dataset.x_test))), 6 * stddev / np.sqrt(100))


def test_settings_are_measured_once_each(tmp_path, monkeypatch):
    def perceptron(input_shape, num_classes, **bayesian):
        return bnn.models.mlp(input_shape, (8,), num_classes, **bayesian)

    monkeypatch.setattr(bnn.models, "small_cnn", perceptron)
    dataset = made_dataset(120)
    monkeypatch.setattr(reporting, "load_dataset", lambda *arguments: dataset)
    words = ["--settings", "start", "plain, augmentation, cosine decay", "--epochs", "1", "--batch-size", "30"]
    words += ["--num-images", "60", "--num-validation", "40", "--num-draws", "4", "--output-dir", tmp_path]
    run_here("levers", *words)
    found = json.loads((tmp_path / "levers.json").read_text())
    assert [row["setting"] for row in found["trainings"]] == ["start", "plain, augmentation, cosine decay"]
    for row in found["trainings"]:
        assert row["levers"] == dataclasses.asdict(SETTINGS[row["setting"]])
        assert row["at_temperature"]["nll"] <= row["nll"]
    monkeypatch.setattr(levers, "run", lambda *arguments: pytest.fail("it was there already"))
    run_here("levers", *words)
