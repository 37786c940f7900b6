"""Monte Carlo prediction: many draws of a network's weights, and what each says of all inputs."""

from typing import Any

import keras
import numpy as np

from tfp_bnn._checks import check_count
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction import draws, inputs
from tfp_bnn.prediction.predictive import Predictive

Tensor = Any


def predict(
    model: keras.Model,
    x: Any,
    num_draws: int = 50,
    batch_size: int = 1000,
    *,
    likelihood: Likelihood | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> Predictive:
    """Draws a model's weights many times and runs all of `x` through each of the drawn networks.

    The draws of a batch run inside one compiled function. All outputs are kept: for very many draws, or draws of very
    many inputs, see `tfp_bnn.summarize`.

    While the model trains, predict in a callback such as `tfp_bnn.callbacks.EverySteps`, not in another thread: on JAX
    that raises RuntimeError, and on TensorFlow the draws would be of weights in the midst of a step.

    Args:
        model: a Keras model with Bayesian layers, one output [n, outputs].
        x: inputs, an array [n, ...], a DataFrame or rows in nested lists; for several inputs a list or dict of these.
        num_draws: how many weight draws, at least 1.
        batch_size: how many inputs are computed at once.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        seed: integer that makes the draws repeatable; None draws one.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        The `Predictive` distribution of the n inputs.

    Raises:
        ValueError: if an argument is out of range, `x` is not arrays that fit the model, there is no likelihood, or
            the model has several outputs.
        RuntimeError: on JAX, if the model is in training and its values are not at hand.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> predictive = predict(model, np.ones((3, 4)), num_draws=20, likelihood=likelihoods.Categorical(), seed=1)
    >>> predictive.draws.shape
    (20, 3, 2)
    """
    from tqdm import auto as tqdm  # Slow to import.

    check_count("num_draws", num_draws)
    check_count("batch_size", batch_size)
    likelihood = draws.likelihood_of(model, likelihood)
    batches = list(draws.batches_of(inputs.arrays_for(model, x), batch_size))
    seeds = draws.seeds_of_draws(model, batches[0], num_draws, seed)
    delay = draws.BAR_DELAY_SECONDS
    bar = tqdm.tqdm(batches, desc=f"{num_draws} draws", unit="batch", delay=delay, disable=not verbose)

    def check(outputs: Tensor) -> None:
        _check_no_positions(outputs)
        likelihood.check_outputs(outputs)

    outputs = np.concatenate([draws.draw_outputs(model, batch, seeds, check) for batch in bar], axis=1)
    likelihood.check_drawn_outputs(outputs)
    return Predictive(outputs, likelihood)


def _check_no_positions(outputs: Tensor) -> None:
    """Raises what `Predictive` would raise, before all draws are computed."""
    if outputs.ndim not in (2, None):
        raise ValueError(
            "The outputs of a network must be [n, outputs], so that those of its draws are [draws, n, outputs]; "
            f"flatten the positions, with their targets. Received: outputs of shape {tuple(outputs.shape)}"
        )
