"""Variational learning by natural gradients instead of the reparameterized ELBO's: IVON."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.flatten_util import ravel_pytree

import tfp_bnn as bnn
from scripts.learning import uci_learning

LEARNING_RATE = 0.1
MOMENTUM, HESSIAN_MOMENTUM = 0.9, 0.999
INITIAL_HESSIAN = 1.0
PRIOR_SCALE = 1.0


class State(NamedTuple):
    """Mean and average gradient of all weights, the Hessian's diagonal, steps done, and the key of the noise."""

    mean: Any
    gradient: Any
    hessian: Any
    step: Any
    key: Any


def stddev(state: State, num_examples: Any) -> Any:
    """Returns the posterior's standard deviations, `1 / sqrt(N (h + delta))` with `delta = 1 / (N prior scale^2)`."""
    return 1 / jnp.sqrt(num_examples * state.hessian + 1 / PRIOR_SCALE**2)


def update(state: State, gradient_at: Any, num_examples: Any, rate: Any) -> State:
    """Returns the state after a step.

    Args:
        state: the state before.
        gradient_at: returns the gradient of the mean nll in the weights, at given weights.
        num_examples: N.
        rate: learning rate.

    Source: Shen et al. 2024, "Variational Learning is Effective for Large Deep Networks", algorithm 1.
    """
    key, of_step = jax.random.split(state.key)
    decay, spread = 1 / (num_examples * PRIOR_SCALE**2), stddev(state, num_examples)
    eps = jax.random.normal(of_step, state.mean.shape)
    gradient = gradient_at(state.mean + spread * eps)
    seen, forget = gradient * eps / spread, 1 - HESSIAN_MOMENTUM
    correction = 0.5 * forget**2 * jnp.square(state.hessian - seen) / (state.hessian + decay)
    hessian = HESSIAN_MOMENTUM * state.hessian + forget * seen + correction
    average = MOMENTUM * state.gradient + (1 - MOMENTUM) * gradient
    unbiased = average / (1 - MOMENTUM ** (state.step + 1))
    mean = state.mean - rate * (unbiased + decay * state.mean) / (hessian + decay)
    return State(mean, average, hessian, state.step + 1, key)


class NaturalGradientLearner(uci_learning.Learner):
    """Independent Gaussian weights of a plain network, trained by IVON."""

    def _start(self, new: keras.Model) -> None:
        if self._model is None:
            self._model = new
            self._steps = jax.jit(self._many_steps)
        for ours, theirs in zip(self._model.variables, new.variables, strict=True):
            ours.assign(theirs)
        mean, self._unravel = ravel_pytree([variable.value for variable in self._model.trainable_variables])
        zeros = jnp.zeros_like(mean)
        seed = int(np.asarray(keras.random.randint((), 0, 2**31 - 1)))
        self._state = State(mean, zeros, zeros + INITIAL_HESSIAN, 0, jax.random.key(seed))

    def _warm_up(self, progress: float, num_examples: int) -> None:
        super()._warm_up(progress, num_examples)
        self._num_examples = float(num_examples)

    def _learn(self, x: np.ndarray, y: np.ndarray) -> None:
        self._state = self._steps(self._state, self._fixed(), self._num_examples, x, y)

    def _fixed(self) -> list[Any]:
        return [variable.value for variable in self._model.non_trainable_variables]

    def _outputs(self, weights: Any, fixed: list[Any], x: Any) -> Any:
        return self._model.stateless_call(self._unravel(weights), fixed, x)[0]

    def _many_steps(self, state: State, fixed: list[Any], num_examples: Any, x: Any, y: Any) -> State:
        last = uci_learning.CALLS * math.ceil(self._args.steps / uci_learning.CALLS)

        def step(state: State, batch: tuple[Any, Any]) -> tuple[State, None]:
            inputs, targets = batch

            def nll(weights: Any) -> Any:
                return self._model.loss(targets, self._outputs(weights, fixed, inputs))

            rate = LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * state.step / last))
            return update(state, jax.grad(nll), num_examples, rate), None

        return jax.lax.scan(step, state, (x, y))[0]

    def predict(self, x: np.ndarray, seed: int) -> bnn.Predictive:
        """Returns the predictive distribution of standardised targets."""
        spread, mean, fixed = stddev(self._state, self._num_examples), self._state.mean, self._fixed()
        eps = jax.random.normal(jax.random.key(seed), (self._args.num_draws, len(mean)))
        draws = jax.lax.map(lambda eps: self._outputs(mean + spread * eps, fixed, x), eps)
        return bnn.Predictive(np.asarray(draws), self._model.loss)
