"""Labelled images from a NumPy file, in the form of the data sets that have a name."""

from pathlib import Path

import numpy as np

import tfp_bnn as bnn
from scripts.common.reporting import ScriptError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load(path: Path) -> bnn.datasets.Dataset:
    """Returns the images of a file with the arrays `ARRAYS`, as `numpy.savez` writes it.

    Bytes are divided by 255; grey images [n, height, width] get a channel. Labels count from 0.

    Raises:
        ScriptError: if there is no such file, or it holds anything else.
    """
    if not path.is_file():
        raise ScriptError(f"--data must be a file. Received: {path}")
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in ARRAYS}
    except (KeyError, ValueError, OSError, AttributeError) as error:
        raise ScriptError(f"{path} must be a .npz file of {', '.join(ARRAYS)}. Received: {error}") from error
    for part in ("train", "test"):
        arrays[f"x_{part}"] = _images(arrays[f"x_{part}"])
        arrays[f"y_{part}"] = _labels(arrays[f"y_{part}"], len(arrays[f"x_{part}"]))
    num_classes = 1 + max(arrays["y_train"].max(), arrays["y_test"].max())
    names = tuple(str(label) for label in range(num_classes))
    return bnn.datasets.Dataset(name=path.stem, source=str(path), class_names=names, **arrays)


def _images(images: np.ndarray) -> np.ndarray:
    if images.ndim not in (3, 4) or not len(images):
        raise ScriptError(
            f"Images must be [n, height, width] or [n, height, width, channels]. Received: {images.shape}"
        )
    pixels = images.astype("float32") / (255 if images.dtype == "uint8" else 1)
    return pixels if pixels.ndim == 4 else pixels[..., np.newaxis]


def _labels(labels: np.ndarray, num_images: int) -> np.ndarray:
    labels = labels.reshape(-1) if labels.shape in ((num_images,), (num_images, 1)) else labels
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ScriptError(
            f"Labels must be one integer from 0 on for each of {num_images} images. "
            f"Received: shape {labels.shape}, {labels.dtype}"
        )
    return labels.astype("int32")
