"""Figures of merit of predictions: arrays in, floats out."""

import numpy as np


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> float:
    """Returns how far confidence and accuracy lie apart on average, between 0 and 1.

    `sum_b |accuracy_b - confidence_b| n_b / n` over bins b of the most probable class's probability.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].
        num_bins: number of bins of equal width.

    Raises:
        ValueError: if the shapes do not match or there is no example.

    Example:

    >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 2)
    0.4

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not labels.size:
        raise ValueError(
            "Expected probabilities of shape [n, classes] and labels of shape [n], n at least 1. "
            f"Received: {probabilities.shape} and {labels.shape}"
        )
    # Not TFP's: it takes logits, whose softmax in float32 parts equal confidences at the edge of a bin.
    confidence = probabilities.max(axis=-1)
    correct = probabilities.argmax(axis=-1) == labels
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = np.bincount(bins, weights=correct - confidence.astype("float64"), minlength=num_bins)
    return float(np.abs(gaps).sum() / len(labels))
