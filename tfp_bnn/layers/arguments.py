"""What Bayesian layers take beside the arguments of their Keras layers: defaults and checks."""

from collections.abc import Mapping
from typing import Any

from tfp_bnn import posteriors, priors
from tfp_bnn._checks import check_type


def prior_of(name: str, prior: Any) -> priors.Prior:
    """Returns a prior, the standard normal one for None; raises ValueError if it is not one."""
    return check_type(name, priors.Normal() if prior is None else prior, priors.Prior)


def posterior_of(name: str, posterior: Any) -> posteriors.Posterior:
    """Returns a posterior, `MeanFieldNormal()` for None; raises ValueError if it is not one."""
    return check_type(name, posteriors.MeanFieldNormal() if posterior is None else posterior, posteriors.Posterior)


def of_bias(bias_prior: Any, bias_posterior: Any) -> tuple[priors.Prior | None, posteriors.Posterior | None]:
    """Returns prior and posterior of a bias, both None if it is a plain weight.

    Raises:
        ValueError: if there is a prior for it and no posterior.

    Example:

    >>> of_bias(None, None)
    (None, None)
    """
    if bias_posterior is not None:
        return prior_of("bias_prior", bias_prior), posterior_of("bias_posterior", bias_posterior)
    if bias_prior is not None:
        raise ValueError("`bias_prior` needs a `bias_posterior`. Received: bias_posterior=None")
    return None, None


def check_none_replaced(of_keras: Mapping[str, Any]) -> None:
    """Raises ValueError if one of these arguments of the Keras layer, whose place a prior has taken, is given."""
    for argument, value in of_keras.items():
        if value is not None:
            raise ValueError(
                "The weights are random: what they should be like, their prior says, for example "
                f"prior=tfp_bnn.priors.Normal(scale=0.1). Received: {argument}={value!r}"
            )
