"""Figures of merit of predictions: arrays in, floats out."""

import numpy as np

from tfp_bnn import _tfp


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> float:
    """Returns how far confidence and accuracy lie apart on average, between 0 and 1.

    `sum_b |accuracy_b - confidence_b| n_b / n` over bins b of the most probable class's probability.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].
        num_bins: number of bins of equal width.

    Raises:
        ValueError: if the shapes do not match.
        ImportError: if TFP does not import.

    Example:

    >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 2)
    0.4

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3; computed by TFP.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            "Expected probabilities of shape [n, classes] and labels of shape [n]. "
            f"Received: {probabilities.shape} and {labels.shape}"
        )
    # TFP takes logits; a probability of exactly 0 has none.
    logits = np.log(np.maximum(probabilities, np.finfo("float32").tiny)).astype("float32")
    return float(
        _tfp.tfp().stats.expected_calibration_error(
            num_bins,
            logits=logits,
            labels_true=labels.astype("int32"),
            labels_predicted=logits.argmax(-1).astype("int32"),
        )
    )
