"""Fits the scale of Gaussian priors in closed form while the network trains."""

from collections.abc import Mapping, Sequence

import keras

from tfp_bnn._backend import sync_state
from tfp_bnn._checks import check_count
from tfp_bnn.layers.base import variational_layers
from tfp_bnn.posteriors import NormalWeights
from tfp_bnn.priors import FittedNormal


class FitPriorScale(keras.callbacks.Callback):
    """Sets the scale of each `priors.FittedNormal` after each epoch to the best one for the posterior as it is.

    `scale^2 = (1/n) sum_i (mean_i^2 + stddev_i^2)` over the n weights with this prior minimises the KL divergence. So
    does gradient descent on the scale, in many steps. Weights that are pruned do not count.

    Args:
        from_epoch: the first epoch, counted from 1, after which it does so. A posterior that has learned nothing yet
            has only the scale of its start.

    Raises:
        ValueError: if `from_epoch` is not positive, if the model has no such prior, or if a posterior is not Gaussian.

    Example:

    >>> from tfp_bnn import layers, likelihoods, priors
    >>> from tfp_bnn.callbacks import KLWeight
    >>> model = keras.Sequential([keras.Input((1,)), layers.Dense(1, prior=priors.FittedNormal())])
    >>> model.compile("adam", loss=likelihoods.Normal(scale=1.0))
    >>> history = model.fit(keras.ops.ones((8, 1)), keras.ops.ones((8, 1)), verbose=0, callbacks=[
    ...     KLWeight(), FitPriorScale()])
    >>> float(model.layers[0].prior.stddev()) == 1.0
    False

    Source: MacKay 1992, "A Practical Bayesian Framework for Backpropagation Networks", for the evidence of a scale;
    Blundell et al. 2015, section 3.3, for what its authors saw of learning it by gradients.
    """

    def __init__(self, from_epoch: int = 1):
        super().__init__()
        self.from_epoch = check_count("from_epoch", from_epoch)

    def set_model(self, model: keras.Model) -> None:
        """Checks that there is something to fit."""
        super().set_model(model)
        if not weights_by_prior(model):
            raise ValueError(
                "The model has no tfp_bnn.priors.FittedNormal, whose scale could be fit. "
                f"Received: model {model.name!r}"
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Sets the scales."""
        if epoch + 1 < self.from_epoch:
            return
        sync_state(self.model)
        for prior, tensors in weights_by_prior(self.model):
            prior.assign(best_scale(tensors))


def weights_by_prior(model: keras.Model) -> list[tuple[FittedNormal, list[NormalWeights]]]:
    """Returns each fitted prior of a model and the posteriors of the weights that have it, as they are now."""
    found: dict[int, tuple[FittedNormal, list[NormalWeights]]] = {}
    for layer in variational_layers(model):
        for name, (variables, prior) in layer.random_weights.items():
            if not isinstance(prior, FittedNormal):
                continue
            weights = variables.read()
            if not isinstance(weights, NormalWeights):
                raise ValueError(
                    "A prior's scale is fit to Gaussian posteriors. "
                    f"Received: {type(weights).__name__} for {name!r} of layer {layer.name!r}"
                )
            found.setdefault(id(prior), (prior, []))[1].append(weights)
    return list(found.values())


def best_scale(tensors: Sequence[NormalWeights]) -> float:
    """Returns the root of the mean of `mean^2 + stddev^2` over all weights that are not pruned."""
    total = sum(
        float(weights.sum_squares()) + float(keras.ops.sum(keras.ops.square(weights.stddev))) for weights in tensors
    )
    return (total / max(1.0, sum(float(weights.num_kept()) for weights in tensors))) ** 0.5
