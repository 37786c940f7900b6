"""A Bayesian network for tables: rows of numbers in, a number or a class out, in the units in which they come."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn import layers, likelihoods, posteriors, priors
from tfp_bnn._checks import check_count
from tfp_bnn.callbacks.kl_weight import KLWeight
from tfp_bnn.callbacks.noise_warmup import NoiseWarmup
from tfp_bnn.layers.growing_noise import GrowingNoise
from tfp_bnn.layers.units_of_targets import UnitsOfTargets
from tfp_bnn.models.rounds import rounds_of
from tfp_bnn.prediction.inputs import is_stream

Tensor = Any

NOISES: dict[str, type[likelihoods.LocationScale]] = {
    "normal": likelihoods.Normal,
    "student_t": likelihoods.StudentT,
    "laplace": likelihoods.Laplace,
}
"""Likelihoods of real targets by the names that `tabular` takes."""

BATCH_SIZE = 100
STEPS = 5_000
_STEPS_AT_ONCE = 10
LEARNING_RATE = 0.01
_WARMUP = 0.75
"""Share of the epochs over which the KL term and the varying noise come in."""

_OF_EPOCHS = ("initial_epoch", "shuffle", "steps_per_epoch", "validation_split")


def tabular(
    num_features: int,
    *,
    num_targets: int = 1,
    num_classes: int | None = None,
    units: Sequence[int] = (50,),
    noise: str = "student_t",
    prior: priors.Prior | None = None,
    initial_stddev: float = 0.02,
) -> "Tabular":
    """Returns a Bayesian network for a table, which knows how to train itself.

    It standardizes inputs and targets inside, from the data of its first `fit`, and these numbers are saved with it.
    Its noise may differ from row to row; its prior is a scale mixture that it learns. `fit(x, y)` needs nothing more:
    the optimizer, the number of epochs, the KL weight with its warm-up and that of the noise have defaults; what you
    say yourself, in `compile` or `fit`, goes before.

    Categories: encode them first, such as with `keras.utils.FeatureSpace` or scikit-learn's `OneHotEncoder`. Missing
    values: fill them in and add columns that say where, such as with scikit-learn's
    `SimpleImputer(add_indicator=True)`.

    Args:
        num_features: columns of the table.
        num_targets: how many numbers a row predicts.
        num_classes: how many classes there are, if the target is the label of one of them; None for numbers.
        units: widths of the hidden layers.
        noise: of numbers: "normal", "student_t" (which bounds what outliers cost) or "laplace".
        prior: of all weights, shared; None stands for a `ScaleMixture` that is learned.
        initial_stddev: posterior standard deviation at the start.

    Returns:
        The model. `fit(x, y)` trains it; `tfp_bnn.predict(model, x)` is in units of y.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(0, 100, size=(200, 3))
    >>> y = 1e6 + 1e4 * x[:, 0] + rng.normal(scale=1e4, size=200)
    >>> model = tabular(num_features=3)
    >>> history = model.fit(x, y, epochs=2, verbose=0)  # about 5,000 steps without `epochs`
    >>> from tfp_bnn.prediction.predict import predict
    >>> predictive = predict(model, x, verbose=False)
    >>> low, high = predictive.quantiles((0.05, 0.95))
    >>> bool(abs(float(predictive.mean().mean()) / y.mean() - 1) < 0.5)
    True
    """
    return Tabular(
        num_features,
        num_targets=num_targets,
        num_classes=num_classes,
        units=units,
        noise=noise,
        prior=prior,
        initial_stddev=initial_stddev,
    )


@keras.saving.register_keras_serializable("tfp_bnn.models")
class Tabular(keras.Model):
    """The network of `tabular`, which says what its arguments are."""

    def __init__(
        self,
        num_features: int,
        *,
        num_targets: int = 1,
        num_classes: int | None = None,
        units: Sequence[int] = (50,),
        noise: str = "student_t",
        prior: priors.Prior | None = None,
        initial_stddev: float = 0.02,
        name: str = "tabular",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self._arguments = {
            "num_features": check_count("num_features", num_features),
            "num_targets": check_count("num_targets", num_targets),
            "num_classes": num_classes,
            "units": [check_count("units", width) for width in _sequence(units)],
            "noise": noise,
            "prior": priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True) if prior is None else prior,
            "initial_stddev": initial_stddev,
        }
        if noise not in NOISES:
            raise ValueError(f"`noise` must be one of {', '.join(map(repr, NOISES))}. Received: noise={noise!r}")
        if num_classes is not None and check_count("num_classes", num_classes) < 2:
            raise ValueError(f"`num_classes` must be at least 2, or None for numbers. Received: {num_classes}")
        self.normalization = keras.layers.Normalization(name="normalization")
        self.hidden = [self._dense(width, activation="relu") for width in self._arguments["units"]]
        self.head = self._dense(num_classes or 2 * num_targets)
        self.noise = None if num_classes else GrowingNoise(name="noise")
        self.units_of_targets = None if num_classes else UnitsOfTargets(num_targets, name="units_of_targets")
        self.adapted = self.add_weight(name="adapted", shape=(), initializer="zeros", trainable=False)
        self.likelihood = likelihoods.Categorical() if num_classes else likelihoods.InUnits(NOISES[noise]())
        # Outside of the graph that a first call traces: what it has computed of its state would be lost with that.
        self.normalization.build((None, num_features))
        self(np.zeros((1, num_features), "float32"))

    def _dense(self, width: int, activation: str | None = None) -> layers.Dense:
        return layers.Dense(
            width,
            activation,
            estimator="local_reparameterization",
            prior=self._arguments["prior"],
            posterior=posteriors.MeanFieldNormal(self._arguments["initial_stddev"]),
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Returns logits, or the outputs that `likelihoods.InUnits` takes."""
        x = self.normalization(inputs)
        for layer in (*self.hidden, self.head):
            x = layer(x, training=training)
        return x if self.noise is None else self.units_of_targets(self.noise(x))

    def adapt(self, x: Any, y: Any) -> None:
        """Takes the scales of inputs and targets from arrays; `fit` does so the first time.

        Args:
            x: inputs, [n, features].
            y: targets, [n] or [n, targets], or labels.

        Raises:
            ValueError: if a shape is another one, or a number is not finite.
        """
        rows = np.asarray(x, "float32")
        features = self._arguments["num_features"]
        if rows.ndim != 2 or rows.shape[1] != features or not len(rows):
            raise ValueError(f"Inputs must be [n, {features}]. Received: inputs of shape {rows.shape}")
        if not np.isfinite(rows).all():
            column = int(np.argwhere(~np.isfinite(rows))[0, 1])
            raise ValueError(
                "Inputs must be finite: fill in missing values, and add columns that say where they were. "
                f"Received: {rows[~np.isfinite(rows)][0]} in column {column}"
            )
        self.normalization.adapt(rows)
        if self.units_of_targets is not None:
            self.units_of_targets.adapt(y)
        self.adapted.assign(1.0)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        verbose: Any = "auto",
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        *,
        steps: int | None = None,
        learning_rate: float | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the network as `keras.Model.fit` does, with defaults of its own.

        Args:
            x: inputs, [n, features].
            y: targets, [n] or [n, targets], or labels.
            batch_size: None for 100, or all rows if there are fewer.
            epochs: None for as many as `steps` take.
            verbose: "auto" for one progress bar; otherwise as Keras takes it.
            callbacks: Keras callbacks. Without a `KLWeight` among them there is one with a warm-up over three quarters
                of the epochs, over which the noise begins to vary, too.
            steps: instead of `epochs`, about how many optimizer steps. An epoch of Keras is then as many passes over
                the arrays as 50 steps take, which for small tables is many times faster. None for 5,000, unless
                something speaks of epochs: `epochs`, `validation_split`, a `KLWeight`, a stream.
            learning_rate: at the start, of the default optimizer; it falls to 0 along a cosine. None for 0.01.
            **kwargs: what else Keras's `fit` takes.

        Raises:
            ValueError: if the data are a stream and `adapt` was not called, or as `adapt` does; if `steps` comes with
                what speaks of epochs; if there is a learning rate and an optimizer that has its own.
        """
        if learning_rate is not None and (self.compiled or not learning_rate > 0):
            raise ValueError(
                "`learning_rate` must be positive, and is of the default optimizer: a compiled model has its own. "
                f"Received: learning_rate={learning_rate}, with the model {'' if self.compiled else 'not '}compiled"
            )
        callbacks = list(callbacks or ())
        if steps is None and epochs is None and not _what_counts_epochs(x, None, callbacks, kwargs):
            steps = STEPS
        if steps is not None:
            _check_steps(steps, x, epochs, callbacks, kwargs)
        self._adapt_once(x, y)
        batch_size = batch_size or (None if is_stream(x) else min(BATCH_SIZE, len(x)))
        beta = 1.0
        if steps is not None:
            batch_size, num_rows = min(batch_size, len(x)), len(x)
            x, y, kwargs, epochs = _in_rounds(x, y, kwargs, batch_size, steps)
            # Rows that come again are no further observations.
            beta = len(x) / num_rows
        an_epoch = None if is_stream(x) else math.ceil(len(x) * (1 - kwargs.get("validation_split", 0.0)) / batch_size)
        epochs = epochs or (math.ceil(STEPS / an_epoch) if an_epoch else 1)
        if not self.compiled:
            self._compile_with_defaults(an_epoch or STEPS, epochs, learning_rate or LEARNING_RATE)
        chosen = [*callbacks, *self._default_callbacks(callbacks, epochs, beta)]
        if verbose == "auto":
            from tqdm.keras import TqdmCallback  # Slow to import.

            chosen, verbose = [*chosen, TqdmCallback(verbose=0, desc=self.name)], 0
        return super().fit(x, y, batch_size, epochs, verbose, chosen, **kwargs)

    def _adapt_once(self, x: Any, y: Any) -> None:
        if float(keras.ops.add(self.adapted.value, 0.0)):
            return
        if x is None or is_stream(x):
            raise ValueError(
                "A stream of batches does not say how large inputs and targets are: call model.adapt(x, y) with "
                f"some of them first. Received: x={type(x).__name__}"
            )
        self.adapt(x, y)

    def _compile_with_defaults(self, steps: int, epochs: int, learning_rate: float) -> None:
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps * epochs)
        self.compile(
            keras.optimizers.Adam(rate),
            loss=self.likelihood,
            metrics=None if self.units_of_targets else ["accuracy"],
            # Steps of a small network take less than what Keras does between them.
            steps_per_execution=min(steps, _STEPS_AT_ONCE),
        )
        # TensorFlow traces a step twice that makes variables, and that takes seconds.
        self.optimizer.build(self.trainable_variables)

    def _default_callbacks(self, given: Sequence[Any], epochs: int, beta: float) -> list[keras.callbacks.Callback]:
        if any(isinstance(callback, KLWeight) for callback in given):
            return []
        warmup = _WARMUP * epochs
        return [KLWeight(beta=beta, warmup_epochs=warmup), *([NoiseWarmup(warmup)] if self.noise is not None else [])]

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {"name": self.name, **self._arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Tabular":
        """Makes the model that `get_config` describes."""
        prior = config["prior"]
        if isinstance(prior, dict):
            prior = keras.saving.deserialize_keras_object(prior, custom_objects)
        return cls(**{**config, "prior": prior})


def _sequence(units: Any) -> Sequence[Any]:
    if not isinstance(units, Sequence):
        raise ValueError(f"`units` must be the widths of the hidden layers, such as (50, 50). Received: {units!r}")
    return units


def _in_rounds(
    x: Any, y: Any, others: Mapping[str, Any], batch_size: int, steps: int
) -> tuple[np.ndarray, np.ndarray, dict[str, Any], int]:
    """Returns inputs, targets and other arguments of a fit in rounds of shuffled rows, and how many rounds."""
    rows, number = rounds_of(len(x), batch_size, steps, random.getrandbits(31))
    weights = others.get("sample_weight")
    in_order = {} if weights is None else {"sample_weight": np.asarray(weights)[rows]}
    return np.asarray(x)[rows], np.asarray(y)[rows], {**others, **in_order, "shuffle": False}, number


def _what_counts_epochs(x: Any, epochs: Any, callbacks: Sequence[Any], others: Mapping[str, Any]) -> list[str]:
    """Returns the arguments of a fit that speak of epochs or their rows; of data that are no arrays, what they are."""
    of_epochs = {"epochs": epochs, **{name: others.get(name) for name in _OF_EPOCHS}}
    given = [name for name, value in of_epochs.items() if value is not None]
    given += [f"x={type(x).__name__}"] * (x is None or is_stream(x))
    return given + ["KLWeight" for callback in callbacks if isinstance(callback, KLWeight)]


def _check_steps(steps: Any, x: Any, epochs: Any, callbacks: Sequence[Any], others: Mapping[str, Any]) -> None:
    check_count("steps", steps)
    if given := _what_counts_epochs(x, epochs, callbacks, others):
        raise ValueError(
            "`steps` counts batches of arrays, and goes without a stream, and without what counts epochs or their "
            f"rows. Received: steps={steps}, {', '.join(given)}"
        )
