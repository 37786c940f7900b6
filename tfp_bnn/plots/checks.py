"""What figures of predictions ask of their arguments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_bnn.plots.style import column
from tfp_bnn.prediction.predictive import Predictive, check_classes_of, check_no_positions


def some_classes_of(name: str, predictive: Any) -> Predictive:
    """Returns it; raises ValueError if it does not predict the classes of any input."""
    check_classes_of(name, predictive)
    check_no_positions(name, predictive)
    if not len(predictive):
        raise ValueError(f"`{name}` must be of at least one input. Received: {predictive!r}")
    return predictive


def all_classes_of(name: str, named: Mapping[str, Predictive]) -> dict[str, Predictive]:
    """Returns them as a dict; raises ValueError if there is none, or one is not of classes."""
    if not named:
        raise ValueError(f"`{name}` must have at least one predictive distribution. Received: none")
    return {key: some_classes_of(f"{name}[{key!r}]", predictive) for key, predictive in named.items()}


def check_one_target(name: str, predictive: Any) -> None:
    """Raises ValueError if it does not predict one real number an input."""
    is_of_numbers = isinstance(predictive, Predictive) and predictive.likelihood.target_kind != "classes"
    if is_of_numbers:
        check_no_positions(name, predictive)
    if not is_of_numbers or predictive.mean().shape[-1] != 1:
        raise ValueError(f"`{name}` must be a Predictive of one real target. Received: {predictive!r}")


def images_of(predictive: Predictive, images: np.ndarray) -> np.ndarray:
    """Returns the images as an array; raises ValueError if they are not one for each input."""
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[3:] not in ((), (1,), (3,)) or len(images) != len(predictive):
        raise ValueError(
            f"`images` must be [{len(predictive)}, height, width], or with 1 or 3 channels last. "
            f"Received: shape {images.shape}"
        )
    return images


def labels_of(predictive: Predictive, labels: np.ndarray) -> np.ndarray:
    """Returns the true classes, integers [n]; raises ValueError if they are not one for each input."""
    labels = column("labels", labels, len(predictive))
    return predictive.likelihood.check_targets(predictive.outputs, labels).astype(int)


def num_classes(*predictives: Predictive) -> int:
    """Returns how many classes the predictive distributions have, at most."""
    return max(predictive[:1].class_probabilities().shape[-1] for predictive in predictives)


def names_of(predictive: Predictive, class_names: Sequence[str] | None) -> list[str]:
    """Returns the names of the classes, by default their numbers; raises ValueError if they are not one for each."""
    classes = num_classes(predictive)
    names = list(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes:
        raise ValueError(f"`class_names` must name {classes} classes. Received: {len(names)} names")
    return names
