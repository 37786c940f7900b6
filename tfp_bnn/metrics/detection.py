"""How well a score tells unknown inputs, out of the distribution of training, from known ones.

Scores are higher for the more unusual, such as `Predictive.entropy` or `Predictive.mutual_information`. Unknown inputs
are the positive class: what is to be found. Where papers take known inputs as positive, as for ODIN, their figures
are others; only the AUROC is the same.
"""

import numpy as np

from tfp_bnn._extras import needed


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Returns the area under the receiver operating characteristic.

    `P(u > k) + P(u = k) / 2` for an unknown input's score u and a known one's k: 1 is best, 1/2 is guessing.

    Args:
        known: scores of inputs like those of training, [n], higher = more unusual.
        unknown: scores of other inputs, [m].

    Raises:
        ValueError: if one of them has another rank, no score, or one that is not finite.

    Example:

    >>> auroc(known=np.array([0.1, 0.2, 0.4]), unknown=np.array([0.3, 0.5]))  # 5 of 6 pairs
    0.8333333333333334

    Source: Hendrycks & Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks", section 2.
    """
    with needed("data"):
        from sklearn import metrics  # Slow to import.

    return float(metrics.roc_auc_score(*_labels_and_scores(known, unknown)))


def aupr(known: np.ndarray, unknown: np.ndarray) -> float:
    """Returns the area under the curve of precision over recall, with unknown inputs as the positive class.

    `sum_t (recall_t - recall_{t-1}) precision_t` over all thresholds, from high to low: the average precision. 1 is
    best, guessing has `m / (n + m)`: only sets of the same sizes compare.

    Args:
        known: scores of inputs like those of training, [n], higher = more unusual.
        unknown: scores of other inputs, [m].

    Raises:
        ValueError: if one of them has another rank, no score, or one that is not finite.

    Example:

    >>> aupr(known=np.array([0.1, 0.2, 0.4]), unknown=np.array([0.3, 0.5]))  # (1 + 2/3) / 2
    0.8333333333333333

    Source: Hendrycks & Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks", section 2.
    """
    with needed("data"):
        from sklearn import metrics  # Slow to import.

    return float(metrics.average_precision_score(*_labels_and_scores(known, unknown)))


def fpr_at_tpr(known: np.ndarray, unknown: np.ndarray, tpr: float = 0.95) -> float:
    """Returns the share of known inputs that are flagged when the share `tpr` of unknown ones is: 0 is best.

    An input is flagged if its score is at least the threshold: the highest that flags that share of unknown inputs.
    Many papers fix the share of known inputs instead, and give that of unknown ones which pass: here, that is
    `fpr_at_tpr(-unknown, -known)`.

    Args:
        known: scores of inputs like those of training, [n], higher = more unusual.
        unknown: scores of other inputs, [m].
        tpr: share of unknown inputs to be flagged at least, more than 0, up to 1.

    Raises:
        ValueError: if `tpr` is out of range, or if scores have another rank, are none, or one is not finite.

    Example:

    >>> fpr_at_tpr(known=np.array([0.1, 0.2, 0.4, 0.6]), unknown=np.array([0.3, 0.5]), tpr=0.5)  # one reaches 0.5
    0.25

    Source: Hendrycks et al. 2019, "Deep Anomaly Detection with Outlier Exposure", section 4.1.
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"`tpr` must be more than 0 and at most 1. Received: tpr={tpr}")
    known, unknown = _check("known", known), _check("unknown", unknown)
    # Shares, and not `tpr * m`, whose rounding may ask for one input more.
    shares = np.arange(1, len(unknown) + 1) / len(unknown)
    threshold = np.sort(unknown)[::-1][np.searchsorted(shares, tpr)]
    return float((known >= threshold).mean())


def _labels_and_scores(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known, unknown = _check("known", known), _check("unknown", unknown)
    return np.repeat([0, 1], [len(known), len(unknown)]), np.concatenate([known, unknown])


def _check(name: str, scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"`{name}` must be scores [n], n at least 1. Received: shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"`{name}` must be finite. Received: {scores[~np.isfinite(scores)][0]}")
    return scores
