"""The Kullback-Leibler divergence KL[q(w) || p(w)] of a posterior from a prior: in closed form and by Monte Carlo.

All are sums over the weights, in nats, in float32 or better.
"""

import math
from collections.abc import Callable
from typing import Any

import keras

from tfp_bnn import posteriors, priors

Tensor = Any

_CLOSED_FORMS: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_closed_form(posterior: type, prior: type) -> Callable[[Callable], Callable]:
    """Decorates the function that returns the divergence of a `posterior` from a `prior` in closed form.

    It holds for their subclasses too, as long as these are the same distributions: a prior with a `log_prob`, or a
    posterior with a `sample`, of its own has a closed form only if it registers one.

    Args:
        posterior: a class of `tfp_bnn.posteriors.WeightPosterior`.
        prior: a class of `tfp_bnn.priors.Prior`.

    Example:

    >>> class Wide(priors.Normal):
    ...     def __init__(self, **kwargs):
    ...         super().__init__(scale=10.0, **kwargs)
    >>> q = posteriors.NormalWeights(keras.ops.zeros(3), keras.ops.ones(3))
    >>> has_closed_form(q, Wide())
    True
    """

    def decorate(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
        _CLOSED_FORMS[posterior, prior] = function
        return function

    return decorate


def has_closed_form(posterior: posteriors.WeightPosterior, prior: priors.Prior) -> bool:
    """Returns whether the divergence of these two is known in closed form."""
    return _registered(type(posterior), type(prior)) is not None


def closed_form(posterior: posteriors.WeightPosterior, prior: priors.Prior) -> Tensor:
    """Returns KL[q || p] in nats, exactly; raises ValueError if it is not known in closed form."""
    divergence = _registered(type(posterior), type(prior))
    if divergence is None:
        raise unknown(type(posterior).__name__, type(prior).__name__)
    return divergence(posterior, prior)


def _registered(posterior: type, prior: type) -> Callable[[Any, Any], Tensor] | None:
    """Returns the closed form of the nearest classes above these two that are the same distributions."""
    for of_posterior in posterior.__mro__:
        for of_prior in prior.__mro__:
            divergence = _CLOSED_FORMS.get((of_posterior, of_prior))
            same = _share(posterior, of_posterior, "sample", "perturbation") and _share(prior, of_prior, "log_prob")
            if divergence is not None and same:
                return divergence
    return None


def _share(subclass: type, base: type, *methods: str) -> bool:
    return all(getattr(subclass, method, None) is getattr(base, method, None) for method in methods)


def unknown(posterior: str, prior: str) -> ValueError:
    """Returns the error that says of which two distributions no divergence is known in closed form."""
    return ValueError(
        "No closed form is known for the KL divergence of this posterior from this prior; leave it to Monte Carlo. "
        f"Received: posterior={posterior}, prior={prior}"
    )


def monte_carlo(sample: posteriors.WeightSample, prior: priors.Prior) -> Tensor:
    """Returns log q(w) - log p(w) in nats at one draw w from q: an unbiased estimate of KL[q || p].

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equation 2.
    """
    log_prior = prior.log_prob(sample.value)
    if sample.kept is not None:
        log_prior = keras.ops.where(sample.kept, log_prior, 0.0)
    return sample.log_prob - keras.ops.sum(log_prior)


@register_closed_form(posteriors.NormalWeights, priors.Normal)
def _normal_normal(posterior: posteriors.NormalWeights, prior: priors.Normal) -> Tensor:
    """The sum of `log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2`."""
    ops = keras.ops
    half_precision = 0.5 / prior.scale**2
    constant = posterior.num_kept() * (math.log(prior.scale) - 0.5)
    # One sum for each term: without XLA, adding the terms weight by weight would cost a pass over memory each.
    squares = ops.sum(ops.square(posterior.stddev)) + posterior.sum_squares(prior.loc)
    return half_precision * squares - posterior.sum_log_stddev() + constant


@register_closed_form(posteriors.NormalWeights, priors.FittedNormal)
def _normal_fitted(posterior: posteriors.NormalWeights, prior: priors.FittedNormal) -> Tensor:
    """The same with m_p = 0, and s_p as it is now."""
    ops = keras.ops
    scale = ops.cast(prior.scale, posterior.mean.dtype)
    squares = ops.sum(ops.square(posterior.stddev)) + posterior.sum_squares()
    constant = posterior.num_kept() * (ops.log(scale) - 0.5)
    return 0.5 * squares / ops.square(scale) - posterior.sum_log_stddev() + constant


@register_closed_form(posteriors.NormalWeights, priors.EarlierWeights)
def _normal_earlier(posterior: posteriors.NormalWeights, prior: priors.EarlierWeights) -> Tensor:
    """The sum of `log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2`, with m_p and s_p of each weight."""
    ops = keras.ops
    loc, scale = prior.loc_and_scale(posterior.mean.dtype)
    ratio = posterior.where_kept(posterior.stddev / scale, 1.0)
    shift = posterior.where_kept((posterior.mean - loc) / scale, 0.0)
    # Weight by weight: where the posterior is still near its prior, sums of logarithms would cancel.
    return ops.sum(0.5 * (ops.square(ratio) - 1 + ops.square(shift)) - ops.log(ratio))


@register_closed_form(posteriors.NormalWeights, priors.EarlierPosterior)
def _normal_earlier_of_a_layer(posterior: posteriors.NormalWeights, prior: priors.EarlierPosterior) -> Tensor:
    """The same, of a layer with one tensor of weights."""
    return _normal_earlier(posterior, prior.the_only())
