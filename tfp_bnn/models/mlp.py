"""A Bayesian multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

import keras

from tfp_bnn import layers, posteriors, priors
from tfp_bnn.estimators import Estimator


def mlp(
    input_shape: Sequence[int],
    units: Sequence[int] = (400, 400),
    num_outputs: int = 10,
    *,
    activation: Any = "relu",
    estimator: str | Estimator = "flipout",
    prior: priors.Prior | None = None,
    posterior: posteriors.Posterior | None = None,
) -> keras.Sequential:
    """Returns a Bayesian multilayer perceptron.

    Args:
        input_shape: shape of one input; it is flattened.
        units: widths of the hidden layers.
        num_outputs: number of outputs, logits or targets; the last layer has no activation.
        activation: Keras activation of the hidden layers.
        estimator: "flipout", "reparameterization", "local_reparameterization", "antithetic", or an `Estimator`.
        prior: prior of all kernels, shared; None stands for `Normal(scale=1.0)`.
        posterior: recipe for their posteriors; None stands for `MeanFieldNormal()`.

    Returns:
        The model, not compiled. `keras.utils.set_random_seed` makes its start and its noise repeatable.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> model = mlp((28, 28, 1), units=(400, 400), prior=priors.ScaleMixture(1.0, 0.0025, 0.5))
    >>> model.output_shape
    (None, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1.
    """
    if not isinstance(units, Sequence):
        raise ValueError(f"`units` must be the widths of the hidden layers, such as (400, 400). Received: {units!r}")
    bayesian = {"estimator": estimator, "prior": priors.Normal() if prior is None else prior, "posterior": posterior}
    hidden = [layers.Dense(width, activation, **bayesian) for width in units]
    return keras.Sequential(
        [keras.Input(tuple(input_shape)), keras.layers.Flatten(), *hidden, layers.Dense(num_outputs, **bayesian)],
        name="bayesian_mlp",
    )
