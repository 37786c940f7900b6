"""What several figures of merit ask of their arguments."""

import numpy as np

# Means of probabilities in half precision may exceed 1 by a little.
_ROUNDING = 1e-3


def check_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities [n, classes], float64, and labels [n], int64; raises ValueError if they are not such.

    Positions, such as time steps or pixels, count like examples: [n, positions, classes] and [n, positions] are taken
    too.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim < 2 or labels.shape != probabilities.shape[:-1] or not labels.size:
        raise ValueError(
            "Expected probabilities of shape [n, classes] and labels of shape [n], n at least 1, or with positions "
            "before the last axis of both. "
            f"Received: {probabilities.shape} and {labels.shape}"
        )
    classes = probabilities.shape[-1]
    if classes < 2:
        raise ValueError(
            "Expected the probabilities of two classes at least; of one yes-or-no target take "
            f"predictive.class_probabilities(). Received: {probabilities.shape}"
        )
    outside = ~((probabilities >= 0) & (probabilities <= 1 + _ROUNDING))
    if outside.any():
        raise ValueError(f"Probabilities must be from 0 to 1; are these logits? Received: {probabilities[outside][0]}")
    wrong = labels[~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))]
    if wrong.size:
        raise ValueError(f"Labels must be integers from 0 to {classes - 1}. Received: {wrong[0]}")
    return probabilities.reshape(-1, classes).astype("float64"), labels.ravel().astype("int64")


def check_level(level: float) -> None:
    """Raises ValueError if the probability of an interval is not between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1. Received: level={level}")
