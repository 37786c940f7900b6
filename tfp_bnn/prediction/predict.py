"""Monte Carlo prediction: many draws of a network's weights, and what each says of all inputs."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np  # noqa: F401  For the example.

from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.anytime import check_tolerance, predict_until_settled
from tfp_bnn.prediction.passes import Pass, joined
from tfp_bnn.prediction.predictive import Predictive


def predict(
    model: keras.Model | Sequence[keras.Model],
    x: Any,
    num_draws: int | None = None,
    batch_size: int = 1000,
    *,
    likelihood: Any = None,
    seed: int | None = None,
    steps: int | None = None,
    tolerance: float | None = None,
    cutoff: float | None = None,
    verbose: bool = True,
) -> Any:
    """Draws a model's weights many times and runs all of `x` through each of the drawn networks.

    The draws of a batch run inside one compiled function. All outputs are kept: for very many draws, or draws of very
    many inputs, see `tfp_bnn.summarize`. With a `tolerance` each input is drawn for only until its mean is settled.

    Several threads may predict with one model, also while another one trains it, once its first step has ended: on JAX
    they take the weights that the last step left, on TensorFlow those of layers that were updated, and of others that
    are about to be.

    A batch may be filled up with repeated inputs, so that many sizes need few compilations. So an input's outputs must
    not depend on which others are in its batch.

    Args:
        model: a Keras model with Bayesian layers. Its outputs are [n, outputs], or have positions, such as time steps
            or pixels, between: [n, time, outputs], [n, height, width, outputs].
            Or a list of such models, whose draws are then mixed, in turn as many of each: a posterior with several
            modes; see `models.ensemble`.
        x: inputs, an array [n, ...], a DataFrame or rows in nested lists; for several inputs a list or dict of these.
            Or a stream of batches: a `tf.data.Dataset`, a `PyDataset`, a `DataLoader`, a generator. Of batches
            (inputs, targets) the inputs are taken. A stream is read once, batch by batch, in its order.
        num_draws: how many weight draws, at least 1; None for 50. With a `tolerance` the most there may be; None for
            1,000.
        batch_size: how many inputs are computed at once. Batches of a stream are cut and merged to it.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with. For
            several outputs, a dict or list as `compile(loss=...)` takes it, with None for outputs without.
        seed: integer that makes the draws repeatable; None draws one.
        steps: how many batches of a stream to take; None for all.
        tolerance: draws, ten at a time, go on for each input until the Monte Carlo standard error of its mean, over
            draws so far, is at most this: in the units of the mean, for classes of their probabilities. None makes
            `num_draws` for all.
        cutoff: with a tolerance: stop for an input also when what `decide(cutoff=...)` says of it lies four standard
            errors from being something else.
        verbose: whether a progress bar appears if it takes more than two seconds.

    Returns:
        The `Predictive` distribution of the n inputs. Of a model of several outputs a dict or list of them, as its
        outputs are; they share their draws: draw s of each is of the same network. With a `tolerance`, the
        `PredictiveSummary`: its `num_draws`, [n], says how many draws each input took.

    Raises:
        ValueError: if an argument is out of range, `x` does not fit the model or is endless, or there is no likelihood.
        RuntimeError: on JAX, if the model is part of a larger one that is in training.

    Example:

    >>> from tfp_bnn import layers, likelihoods
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(2)])
    >>> predictive = predict(model, np.ones((3, 4)), num_draws=20, likelihood=likelihoods.Categorical(), seed=1)
    >>> predictive.draws.shape
    (20, 3, 2)
    >>> settled = predict(model, np.ones((3, 4)), tolerance=0.05, likelihood=likelihoods.Categorical(), seed=1)
    >>> bool(np.all(settled.num_draws >= 10)), settled.mean().shape
    (True, (3, 2))
    """
    if tolerance is not None:
        check_tolerance(tolerance, cutoff)
    elif cutoff is not None:
        raise ValueError(
            "A cut-off stops draws only beside a tolerance; without one, write predict(...).decide(cutoff=...). "
            f"Received: cutoff={cutoff} and tolerance=None"
        )
    run = Pass(
        model,
        x,
        num_draws=(50 if tolerance is None else 1000) if num_draws is None else num_draws,
        batch_size=batch_size,
        steps=steps,
        likelihood=likelihood,
        seed=seed,
        verbose=verbose,
    )
    if tolerance is not None:
        return predict_until_settled(run, tolerance, cutoff)
    drawn = []
    for batch, bar in run.batches():
        drawn.append(run.draw(batch.inputs, run.seeds))
        bar.update(batch.size)

    def predictive(number: int, of_output: Likelihood) -> Predictive:
        outputs = joined([each.outputs[number] for each in drawn], axis=1)
        of_output.check_drawn_outputs(outputs)
        return Predictive(outputs, of_output, joined([each.masks[number] for each in drawn], axis=0))

    return run.heads.pack(run.heads.each(predictive))
