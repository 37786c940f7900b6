"""What likelihoods of real targets, of counts and of yes-or-no targets have in common."""

import abc
from types import ModuleType
from typing import Any

import keras
import numpy as np

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.inverse_cdf import Cdf
from tfp_bnn.likelihoods.likelihood import Likelihood

Tensor = Any


class IndependentLikelihood(Likelihood):
    """Targets whose dimensions are independent given the outputs, `p(y | outputs) = prod_i p(y_i | parameters_i)`.

    The outputs are blocks of one size, the number of targets: first one parameter of all targets, then the next.

    A family, of yours or of the package, says what its parameters are, `_parameters`, and what it is in them:
    `_log_densities`, `mean` and `variance`. It may say `entropy`, `_cdf`, `_quantile`, `_distributions`, and which
    targets are `_allowed`; without these it has none of what they are for, see `Likelihood`. All of them are
    elementwise but the entropy, which is summed. `_log_densities` is compiled, so it is made of `keras.ops`; `_cdf` and
    `_quantile` take NumPy arrays in double precision.
    """

    _num_parameters = 1
    """Of how many outputs for each target the parameters are made."""

    # What a family is.

    @abc.abstractmethod
    def _parameters(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Returns the parameters of the family, each [..., n, targets] or with further axes behind."""

    @abc.abstractmethod
    def _log_densities(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Returns the log-density, or of counts the log-probability, of each target, [..., n, targets]."""

    def _cdf(self, y: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
        """Returns P(Y <= y) of each target, [..., n, targets]."""
        raise self._not_defined("cdf")

    def _quantile(self, probability: float, *parameters: np.ndarray) -> np.ndarray:
        """Returns the quantile of each target, [..., n, targets]."""
        raise self._not_defined("quantile")

    def _distributions(self, tfd: ModuleType, *parameters: Tensor) -> Any:
        """Returns the distribution of TFP's `tfd` of each target; its batch shape is [..., n, targets]."""
        raise self._not_defined("distribution")

    # What follows from it.

    def num_targets(self, num_outputs: int) -> int:
        """Returns how many targets so many outputs predict; raises ValueError if it cannot be."""
        count = self._num_parameters
        if num_outputs % count:
            name = type(self).__name__
            raise ValueError(
                f"{name} needs {count} outputs for each target, so {count} or a multiple of it. "
                f"Received: {num_outputs} outputs"
            )
        return num_outputs // count

    def _blocks(self, outputs: Tensor) -> list[Tensor]:
        """Returns the outputs as blocks, [..., n, targets] each; raises ValueError if they cannot be."""
        outputs = keras.ops.convert_to_tensor(outputs)
        self.num_targets(outputs.shape[-1])
        return keras.ops.split(outputs, self._num_parameters, axis=-1)

    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns the log-probability (of real targets the log-density) in nats, summed over the targets' dimensions.

        Raises:
            ValueError: if there are not as many targets as the outputs have parameters for.
        """
        ops = keras.ops
        parameters = self._parameters(outputs)
        y = self._rows_beside(ops.cast(y, parameters[0].dtype), np.shape(outputs))
        return ops.sum(self._log_densities(y, *parameters), axis=-1)

    def _in_double(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Returns the parameters as arrays in double precision."""
        return [keras.ops.convert_to_numpy(values).astype("float64") for values in self._parameters(outputs)]

    def cdf(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns P(Y <= y | outputs) of each target, float64 [..., n, targets]; raises ValueError if it has none."""
        return self._cdf(np.asarray(y, "float64"), *self._in_double(outputs))

    def cdf_given(self, outputs: np.ndarray) -> Cdf:
        """Returns the function from y to `cdf(outputs, y)`; the parameters are computed once."""
        if type(self).cdf is not IndependentLikelihood.cdf:
            return super().cdf_given(outputs)
        parameters = self._in_double(outputs)
        return lambda y: self._cdf(y, *parameters)

    def quantile(self, outputs: np.ndarray, probability: float) -> np.ndarray:
        """Returns the quantile of each target, float64 [..., n, targets]; raises ValueError if it has none."""
        return self._quantile(probability, *self._in_double(outputs))

    def distribution(self, outputs: Tensor) -> Any:
        """Returns the distributions of the targets' dimensions as one `tfd.Independent`."""
        parameters = self._parameters(outputs)
        tfd = tfp.distributions(*parameters)
        return tfd.Independent(self._distributions(tfd, *parameters), reinterpreted_batch_ndims=1)
