"""What a newcomer writes first, for data of many kinds: a plain network made Bayesian, Adam at one rate, few steps."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from sklearn import datasets

import tfp_bnn as bnn
from scripts.data import made_sentences

Arrays = tuple[np.ndarray, np.ndarray]
Layer = Mapping[str, Any]
"""What each Bayesian layer is given: `prior` and `posterior`."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Data, and the program that learns from them.

    Args:
        train: inputs and targets.
        validation: others, on which the prediction is measured.
        make_model: the function of what each Bayesian layer is given that returns the network.
        likelihood: of the targets.
        learning_rate: of Adam.
        steps: how many the training takes, about.
        batch_size: rows a step.
    """

    train: Arrays
    validation: Arrays
    make_model: Callable[[Layer], keras.Model]
    likelihood: bnn.likelihoods.Likelihood
    learning_rate: float
    steps: int
    batch_size: int = 100


def perceptron(units: list[int], num_outputs: int) -> Callable[[Layer], keras.Model]:
    """Returns the function that makes a network of dense layers."""

    def make(layer: Layer) -> keras.Model:
        hidden = [bnn.layers.Dense(width, "relu", **layer) for width in units]
        return keras.Sequential([keras.layers.Flatten(), *hidden, bnn.layers.Dense(num_outputs, **layer)])

    return make


def sinusoid(rng: np.random.Generator) -> Task:
    """32 noisy points of a sinusoid, of which each step sees all."""

    def points(number: int) -> Arrays:
        x = np.linspace(-0.5, 0.5, number)[:, np.newaxis]
        return x.astype("float32"), (10 * np.sin(2 * np.pi * x) + rng.normal(size=x.shape)).astype("float32")

    return Task(points(32), points(500), perceptron([20, 20], 1), bnn.likelihoods.Normal(1.0), 0.03, 2000, 32)


def standardized(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Returns four fifths of the rows and the last fifth, in random order, all standardized by the former."""
    order = rng.permutation(len(x))
    x, y = x[order], y[order].reshape(-1, 1)
    train = slice(0, 4 * len(x) // 5)
    x, y = ((each - each[train].mean(axis=0)) / each[train].std(axis=0) for each in (x, y))
    x, y = x.astype("float32"), y.astype("float32")
    return (x[train], y[train]), (x[train.stop :], y[train.stop :])


def diabetes(rng: np.random.Generator) -> Task:
    """442 patients: ten numbers, and how their disease went on."""
    data = standardized(*datasets.load_diabetes(return_X_y=True), rng)
    return Task(*data, perceptron([50], 2), bnn.likelihoods.Normal(), 0.01, 1000)


def robot_arm(rows: int, rng: np.random.Generator) -> Task:
    """Where the hand of an arm of two joints is, from their angles and six numbers that do not matter."""
    x = rng.uniform(-1, 1, size=(rows, 8))
    reach = np.cos(2 * x[:, 0]) + np.cos(2 * x[:, 0] + 3 * x[:, 1])
    data = standardized(x, reach + rng.normal(scale=0.1, size=rows), rng)
    return Task(*data, perceptron([50], 2), bnn.likelihoods.Normal(), 0.01, 2000)


def images(name: str, data_dir: str | None, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Returns 4,000 images to train on and 1,000 others, of the training images of a data set."""
    dataset = bnn.datasets.load(name, data_dir)
    chosen = rng.permutation(len(dataset.x_train))[: min(5000, len(dataset.x_train))]
    x, y = dataset.x_train[chosen], dataset.y_train[chosen]
    return (x[:-1000], y[:-1000]), (x[-1000:], y[-1000:])


def digits(width: int, data_dir: str | None, rng: np.random.Generator) -> Task:
    """Handwritten digits, by two hidden layers of a width."""
    data = images("mnist_sample", data_dir, rng)
    return Task(
        *data, perceptron([width, width], 10), bnn.likelihoods.Categorical(), 1e-3, 200 if width > 1000 else 400
    )


def garments(data_dir: str | None, rng: np.random.Generator) -> Task:
    """Images of garments (of digits, where there are none), by LeNet5."""
    try:
        data = images("fashion_mnist", data_dir, rng)
    except (OSError, ValueError):
        data = images("mnist_sample", data_dir, rng)
    return Task(*data, lambda layer: bnn.models.lenet5(**layer), bnn.likelihoods.Categorical(), 1e-3, 400)


def sentences(rng: np.random.Generator) -> Task:
    """Made sentences, good or bad, by an LSTM."""
    words = made_sentences

    def make(layer: Layer) -> keras.Model:
        embedding = keras.layers.Embedding(len(words.WORDS), 8, mask_zero=True)
        return keras.Sequential([embedding, bnn.layers.LSTM(16, **layer), bnn.layers.Dense(2, **layer)])

    texts, labels = words.make(2000, words.KNOWN, rng)
    labels = words.with_wrong_labels(labels, 0.05, rng)
    x = words.tokens(texts)
    data = (x[:1500], labels[:1500]), (x[1500:], labels[1500:])
    return Task(*data, make, bnn.likelihoods.Categorical(), 0.01, 500)


def series(rng: np.random.Generator) -> Task:
    """The next value of two sinusoids with noise, from 24 before it, by a GRU."""
    time = np.arange(1224)
    values = np.sin(2 * np.pi * time / 60) + 0.5 * np.sin(2 * np.pi * time / 12) + rng.normal(0, 0.2, len(time))
    windows = np.lib.stride_tricks.sliding_window_view(values.astype("float32"), 25)
    x, y = windows[:, :-1, np.newaxis].copy(), windows[:, -1:].copy()

    def make(layer: Layer) -> keras.Model:
        return keras.Sequential([bnn.layers.GRU(16, **layer), bnn.layers.Dense(2, **layer)])

    return Task((x[:800], y[:800]), (x[800:], y[800:]), make, bnn.likelihoods.Normal(), 0.01, 500)


TASKS: Mapping[str, Callable[[str | None, np.random.Generator], Task]] = {
    "sinusoid, 32 points": lambda data_dir, rng: sinusoid(rng),
    "diabetes, 353 rows": lambda data_dir, rng: diabetes(rng),
    "robot arm, 800 rows": lambda data_dir, rng: robot_arm(1000, rng),
    "robot arm, 8,000 rows": lambda data_dir, rng: robot_arm(10_000, rng),
    "digits, width 20": lambda data_dir, rng: digits(20, data_dir, rng),
    "digits, width 400": lambda data_dir, rng: digits(400, data_dir, rng),
    "series, GRU": lambda data_dir, rng: series(rng),
    "sentences, LSTM": lambda data_dir, rng: sentences(rng),
    "garments, LeNet5": garments,
    "digits, width 1,200": lambda data_dir, rng: digits(1200, data_dir, rng),
}
"""Functions of (where data sets are, a generator of random numbers) by the name of the task."""
