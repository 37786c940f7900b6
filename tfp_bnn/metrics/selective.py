"""What is gained by refusing to answer where confidence is low."""

from typing import TYPE_CHECKING

import numpy as np

from tfp_bnn._extras import needed

if TYPE_CHECKING:
    import pandas as pd


def accuracy_rejection_curve(confidence: np.ndarray, correct: np.ndarray) -> "pd.DataFrame":
    """Returns the accuracy of what is left when inputs are refused, the least confident first.

    Inputs of equal confidence are refused together, as by a threshold: the order of the inputs does not matter. There
    is one row for each confidence, the first with nothing refused, the last with all but the most confident.

    Args:
        confidence: of each input, [n], higher = more confident.
        correct: whether its prediction is right, booleans or 0 and 1, [n].

    Returns:
        Columns `rejected`, the share of inputs refused, from 0 to less than 1, and `accuracy`, that of the others.

    Raises:
        ValueError: if the shapes do not match, there is no input, or a value is out of range.

    Example:

    >>> curve = accuracy_rejection_curve(np.array([0.9, 0.6, 0.8, 0.6]), np.array([1, 0, 1, 1]))
    >>> curve.to_numpy().tolist()
    [[0.0, 0.75], [0.5, 1.0], [0.75, 1.0]]

    Source: Nadeem et al. 2009, "Accuracy-Rejection Curves (ARCs) for Comparing Classification Methods with a Reject
    Option", section 2.
    """
    with needed("data"):
        import pandas as pd  # Slow to import.

    rejected, accuracy = _curve(confidence, correct)
    return pd.DataFrame({"rejected": rejected, "accuracy": accuracy})


def accuracy_rejection_area(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Returns the area under the accuracy-rejection curve, from 0 to 1: the mean accuracy over all shares refused.

    The curve goes in steps: where a share would part inputs of equal confidence, none of them is refused. If all
    confidences differ, the area is 1 less that under the risk-coverage curve (AURC). Confidence that says nothing has
    the accuracy itself.

    Args:
        confidence: of each input, [n], higher = more confident.
        correct: whether its prediction is right, booleans or 0 and 1, [n].

    Raises:
        ValueError: if the shapes do not match, there is no input, or a value is out of range.

    Example:

    >>> accuracy_rejection_area(np.array([0.9, 0.6, 0.8, 0.6]), np.array([1, 0, 1, 1]))  # (0.75 + 1) / 2
    0.875

    Source: Geifman et al. 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", section 2.
    """
    rejected, accuracy = _curve(confidence, correct)
    return float((np.diff(rejected, append=1.0) * accuracy).sum())


def _curve(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = _check(confidence, correct)
    order = np.argsort(confidence)
    # The first of each group of equals: as many are refused when it is the least that is left.
    _, refused = np.unique(confidence[order], return_index=True)
    right = np.cumsum(correct[order][::-1])[::-1][refused]
    total = len(confidence)
    return refused / total, right / (total - refused)


def _check(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = np.asarray(confidence), np.asarray(correct)
    if confidence.ndim != 1 or correct.shape != confidence.shape or not confidence.size:
        raise ValueError(
            "Expected `confidence` and `correct` of shape [n], n at least 1. "
            f"Received: {confidence.shape} and {correct.shape}"
        )
    if np.isnan(confidence).any():
        raise ValueError("`confidence` must be numbers. Received: nan")
    wrong = correct[(correct != 0) & (correct != 1)]
    if wrong.size:
        raise ValueError(f"`correct` must be booleans, or 0 and 1. Received: {wrong[0]}")
    return confidence, correct.astype("int64")
