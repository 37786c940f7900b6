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
    """Decorates the function that returns the divergence of a `posterior` from a `prior` in closed form."""

    def decorate(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
        _CLOSED_FORMS[posterior, prior] = function
        return function

    return decorate


def has_closed_form(posterior: posteriors.WeightPosterior, prior: priors.Prior) -> bool:
    """Returns whether the divergence of these two is known in closed form."""
    return (type(posterior), type(prior)) in _CLOSED_FORMS


def closed_form(posterior: posteriors.WeightPosterior, prior: priors.Prior) -> Tensor:
    """Returns KL[q || p] in nats, exactly; raises ValueError if it is not known in closed form."""
    if not has_closed_form(posterior, prior):
        raise unknown(type(posterior).__name__, type(prior).__name__)
    return _CLOSED_FORMS[type(posterior), type(prior)](posterior, prior)


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
