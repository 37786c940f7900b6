"""Images and labels in files: Keras's .npz, and the IDX files of the original."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

Split = tuple[np.ndarray, np.ndarray]

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def find(name: str, directory: Path) -> tuple[str, Split, Split] | None:
    """Returns where a directory holds a data set, for people to read, and its training and test images; or None.

    Args:
        name: "mnist" or "fashion_mnist".
        directory: where to look.

    Raises:
        ValueError: if a file is not what it claims to be.
    """
    npz = directory / f"{name}.npz"
    if npz.is_file():
        return str(npz), *_read_npz(npz)
    for folder in _idx_folders(name, directory):
        files = [path for file in _IDX_FILES if (path := _plain_or_gzipped(folder / file))]
        if len(files) == len(_IDX_FILES):
            return f"the IDX files in {folder}", _read_idx_split(*files[:2]), _read_idx_split(*files[2:])
    return None


def missing(name: str, directory: Path) -> list[str]:
    """Returns what a directory would have to hold to have a data set: the file, or the files of each folder."""
    places = [str(directory / f"{name}.npz")]
    for folder in _idx_folders(name, directory):
        files = [file for file in _IDX_FILES if not _plain_or_gzipped(folder / file)]
        places.append(f"{folder}: {', '.join(files)} (each as it is or as .gz)")
    return places


def checked(where: str, images: np.ndarray, labels: np.ndarray) -> Split:
    """Returns images and labels; raises ValueError, which says where they are, unless they are those of a data set."""
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
        raise _invalid(where, "images of type uint8 and shape (n, 28, 28), n > 0", f"{images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        expected = f"labels of type uint8 and shape ({len(images)},), one for each image"
        raise _invalid(where, expected, f"{labels.dtype} {labels.shape}")
    if labels.max() > 9:
        raise _invalid(where, "labels from 0 to 9", f"a label {labels.max()}")
    return images, labels


def _idx_folders(name: str, directory: Path) -> list[Path]:
    # As keys, since "mnist" is spelled the same with dashes.
    return list(dict.fromkeys([directory / name, directory / name.replace("_", "-"), directory]))


def _plain_or_gzipped(path: Path) -> Path | None:
    return next(filter(Path.is_file, (path, path.with_name(f"{path.name}.gz"))), None)


def _read_npz(path: Path) -> tuple[Split, Split]:
    expected = f"an .npz archive with the arrays {', '.join(_ARRAYS)}"
    with path.open("rb") as file:
        try:
            archive = np.lib.npyio.NpzFile(file)  # np.load would take any other file for a pickle.
            x_train, y_train, x_test, y_test = (archive[name] for name in _ARRAYS)
        except Exception as error:  # A damaged archive can fail in any way.
            raise _invalid(path, expected, f"a file that cannot be read as such ({error})") from error
    return checked(f"{path} (train)", x_train, y_train), checked(f"{path} (test)", x_test, y_test)


def _read_idx_split(images: Path, labels: Path) -> Split:
    return checked(f"{images} with {labels.name}", _read_idx(images, rank=3), _read_idx(labels, rank=1))


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


def _invalid(where: str | Path, expected: str, received: str) -> ValueError:
    return ValueError(f"{where}: expected {expected}. Received: {received}")
