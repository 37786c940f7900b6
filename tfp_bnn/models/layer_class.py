"""Which layer class an estimator has in a family of layers."""

from tfp_bnn import layers

_ESTIMATORS = {
    "flipout": "Flipout",
    "reparameterization": "Reparameterization",
    "local-reparameterization": "LocalReparameterization",
}
_FAMILIES = ("Dense", "Conv1D", "Conv2D", "Conv3D")


def layer_class(family: str, estimator: str) -> type[layers.VariationalLayer]:
    """Returns the layer class of a family with an estimator, such as `DenseFlipout`.

    Args:
        family: "Dense", "Conv1D", "Conv2D" or "Conv3D".
        estimator: "flipout", "reparameterization" or "local-reparameterization".

    Returns:
        The class, of `tfp_bnn.layers`.

    Raises:
        ValueError: if family or estimator is unknown.

    Example:

    >>> layer_class("Conv2D", "local-reparameterization").__name__
    'Conv2DLocalReparameterization'
    """
    if family not in _FAMILIES:
        raise ValueError(f"`family` must be one of {', '.join(_FAMILIES)}. Received: family={family!r}")
    ending = _ESTIMATORS.get(str(estimator).replace("_", "-"))
    if ending is None:
        raise ValueError(f"`estimator` must be one of {', '.join(_ESTIMATORS)}. Received: estimator={estimator!r}")
    return getattr(layers, family + ending)
