"""Positions of outputs, such as time steps or pixels, of which a mask says which there are."""

from typing import Any

import numpy as np

from tfp_bnn.likelihoods import Likelihood


def check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns a mask as bool; raises ValueError if it does not have the shape [n] or [n, positions]."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(
            f"`mask` must be bool of shape {shape}, True where there is a target. Received: {mask.dtype} of shape "
            f"{mask.shape}"
        )
    return mask


def targets_beside(likelihood: Likelihood, outputs: np.ndarray, y: Any, mask: np.ndarray | None) -> np.ndarray:
    """Returns a row of targets for each row of outputs, checked; 0 where the mask says that there is none.

    Args:
        likelihood: that of the outputs.
        outputs: the network's, [draws, n, ..., outputs].
        y: labels or targets, [n, ...] or [n, ..., d].
        mask: bool [n, ...], or None.

    Raises:
        ValueError: if they do not lie beside the outputs, or one cannot be had.
    """
    y = np.asarray(y)
    number = outputs.shape[1]
    if y.ndim == 0 or len(y) != number:
        raise ValueError(f"`y` must have one target for each of {number} inputs. Received: shape {y.shape}")
    if mask is None:
        return likelihood.rows_of_targets(likelihood.check_targets(outputs, y), outputs.shape[1:])
    y = likelihood.rows_of_targets(y, outputs.shape[1:])
    return likelihood.check_targets(outputs, np.where(mask[..., np.newaxis], y, np.zeros((), y.dtype)))
