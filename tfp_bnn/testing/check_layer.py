"""The contract of the package's own layers, for anyone's layer."""

from collections.abc import Mapping
from typing import Any

from tfp_bnn.layers import VariationalLayer
from tfp_bnn.testing.case import Case
from tfp_bnn.testing.layer_checks import ON_EVERY_GEOMETRY, ON_EVERY_LAYER


def check_layer(
    layer_class: type[VariationalLayer],
    arguments: tuple = (),
    keywords: Mapping[str, Any] | None = None,
    *,
    input_shape: tuple[int, ...],
    estimator: str | None = None,
    linear: bool = False,
) -> None:
    """Checks that a Bayesian layer does what every layer of this package does; takes about a minute.

    Its noise has the mean and the variance of random weights, its gradients are right on average, its KL term is
    `kl_weight * KL[q || p]` and counts once, without noise it is its Keras layer, a seed repeats its draws, mixed and
    double precision lose nothing, and configs and clones hold all of it.

    Args:
        layer_class: the class; it is registered with `keras.saving.register_keras_serializable`.
        arguments: positional arguments to make one with.
        keywords: keywords to make one with.
        input_shape: shape of its inputs, the batch included: at least 3 examples. Small, since there are many draws.
        estimator: which one the layer has, if it is one of `tfp_bnn.estimators.NAMES`.
        linear: whether its outputs, before the activation, are linear in all its random weights together: then moments
            are compared with closed forms, else with those of many drawn weights.

    Raises:
        AssertionError: if the layer breaks the contract; the message says in what.
        ValueError: if there are fewer than 3 examples.

    Example:

    >>> from tfp_bnn import layers
    >>> check_layer(layers.Dense, (2,), input_shape=(3, 2), estimator="flipout", linear=True)  # doctest: +SKIP
    """
    if len(input_shape) < 2 or input_shape[0] < 3:
        raise ValueError(f"`input_shape` must have a batch of at least 3 examples. Received: input_shape={input_shape}")
    case = Case(layer_class, "own", arguments, keywords or {}, tuple(input_shape), estimator, linear)
    for check in (*ON_EVERY_GEOMETRY, *ON_EVERY_LAYER):
        check(case)
