"""What several figures of merit ask of their arguments."""

import numpy as np

# Means of probabilities in half precision may exceed 1 by a little.
_ROUNDING = 1e-3


def check_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities [n, classes] and labels [n] as arrays; raises ValueError if they are not such."""
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not labels.size:
        raise ValueError(
            "Expected probabilities of shape [n, classes] and labels of shape [n], n at least 1. "
            f"Received: {probabilities.shape} and {labels.shape}"
        )
    outside = ~((probabilities >= 0) & (probabilities <= 1 + _ROUNDING))
    if outside.any():
        raise ValueError(f"Probabilities must be from 0 to 1; are these logits? Received: {probabilities[outside][0]}")
    return probabilities, labels


def check_level(level: float) -> None:
    """Raises ValueError if the probability of an interval is not between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1. Received: level={level}")
