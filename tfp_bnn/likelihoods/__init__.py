"""Likelihoods p(y | x, w): each is a Keras loss and a TFP distribution in one.

A network's outputs are the parameters of a likelihood. Where its scale is among them, the network predicts how noisy
the data are, input by input (Kendall and Gal 2017, "What Uncertainties Do We Need in Bayesian Deep Learning for
Computer Vision?").

| Targets                | Likelihood         | Predicted                                      |
| ---------------------- | ------------------ | ---------------------------------------------- |
| one of several classes | `Categorical`      | logits of the classes                          |
| 0 or 1                 | `Bernoulli`        | logit                                          |
| real                   | `Normal`           | location, and scale unless it is fixed         |
| real, with outliers    | `StudentT`         | location, and scale unless it is fixed         |
| real, with outliers    | `Laplace`          | location, and scale unless it is fixed         |
| real, of several modes | `NormalMixture`    | logits, locations and scales of the components |
| real, in their units   | `InUnits`          | as another one, of standardized targets        |
| counts                 | `Poisson`          | logarithm of the rate                          |
| counts, overdispersed  | `NegativeBinomial` | logarithm of the mean, and concentration       |

For another one, write a subclass of `Likelihood`, or of one of `IndependentLikelihood`, `CountLikelihood` and
`LocationScale`, which leave less to define; `Likelihood` says what.
"""

from tfp_bnn.likelihoods.bernoulli import Bernoulli
from tfp_bnn.likelihoods.categorical import Categorical
from tfp_bnn.likelihoods.counts import CountLikelihood
from tfp_bnn.likelihoods.in_units import InUnits
from tfp_bnn.likelihoods.independent import IndependentLikelihood
from tfp_bnn.likelihoods.laplace import Laplace
from tfp_bnn.likelihoods.likelihood import Likelihood
from tfp_bnn.likelihoods.location_scale import LocationScale
from tfp_bnn.likelihoods.negative_binomial import NegativeBinomial
from tfp_bnn.likelihoods.normal import Normal
from tfp_bnn.likelihoods.normal_mixture import NormalMixture
from tfp_bnn.likelihoods.poisson import Poisson
from tfp_bnn.likelihoods.student_t import StudentT

__all__ = [
    "Bernoulli",
    "Categorical",
    "CountLikelihood",
    "InUnits",
    "IndependentLikelihood",
    "Laplace",
    "Likelihood",
    "LocationScale",
    "NegativeBinomial",
    "Normal",
    "NormalMixture",
    "Poisson",
    "StudentT",
]
