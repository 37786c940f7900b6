"""How Bayes by Backprop is trained on MNIST: what was tried, on validation images."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All settings of one training.

    Args:
        name: what it is called.
        width: units of each of the two hidden layers.
        prior: "mixture" or "normal".
        sigma_1: standard deviation of the mixture's wide part, or of the normal prior.
        sigma_2: that of its narrow part.
        pi: share of the wide part.
        estimator: of the noise in training.
        optimizer: "adam" or "sgd".
        learning_rate: of the mean loss of a batch, at its highest.
        decay: "cosine", or "step": a tenth from the middle on.
        warmup: during which share of the training the KL term rises from none to all.
        initial_stddev: of the posterior.
        initial_mean_range: uniform means, from minus this to this; None: He normal.
        batch_size: images of a batch.
        seed: of the start, the noise and the order.
    """

    name: str
    width: int = 1200
    prior: str = "mixture"
    sigma_1: float = 1.0
    sigma_2: float = math.exp(-6)
    pi: float = 0.5
    estimator: str = "flipout"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    decay: str = "cosine"
    warmup: float = 0.6
    initial_stddev: float = 0.01
    initial_mean_range: float | None = None
    batch_size: int = 128
    seed: int = 0

    @property
    def program(self) -> Any:
        """What has to be the same for networks that train in one compiled epoch."""
        scale = self.sigma_1 if self.prior == "normal" else None
        return self.width, self.prior, scale, self.estimator, self.optimizer, self.batch_size


def mixture(minus_log_sigma_1: float, minus_log_sigma_2: float, pi: float, **others: Any) -> Recipe:
    """Returns a recipe with a mixture prior, given and named as in the paper, by minus the logarithms."""
    name = f"mixture {minus_log_sigma_1:g}, {minus_log_sigma_2:g}, {pi:g}"
    name += "".join(f", {key} {value:g}" if isinstance(value, float) else f", {value}" for key, value in others.items())
    return Recipe(name, 1200, "mixture", math.exp(-minus_log_sigma_1), math.exp(-minus_log_sigma_2), pi, **others)


def tried(widths: list[int]) -> Iterator[Recipe]:
    """Yields the recipes that compete, for the first width all of them."""
    for place, width in enumerate(widths):
        for recipe in (*_of_adam(), *(_of_other_kinds() if place == 0 else ())):
            yield dataclasses.replace(recipe, width=width)


def public_recipe(width: int = 1200, initial_stddev: float = 0.038) -> Recipe:
    """Returns that of the best public re-implementation of 2x1200, whose loss is the sum over a batch, with SGD.

    Args:
        width: units of each hidden layer.
        initial_stddev: there rho is drawn from U(-3.5, -3), the softplus of whose middle is the default here.
    """
    return dataclasses.replace(
        mixture(0, 8, 0.75),
        name="mixture 0, 8, 0.75, public recipe"
        + ("" if initial_stddev == 0.038 else f", initial_stddev {initial_stddev:g}"),
        width=width,
        estimator="reparameterization",
        optimizer="sgd",
        learning_rate=0.128,
        decay="step",
        warmup=0.0,
        initial_stddev=initial_stddev,
        initial_mean_range=0.03,
    )


def _of_adam() -> Iterator[Recipe]:
    for sigmas in ((0, 5), (0, 6), (1, 6), (2, 6), (2, 7)):
        for pi in (0.25, 0.5, 0.75):
            if pi == 0.5 or sigmas in ((0, 6), (2, 6)):
                yield mixture(*sigmas, pi)
    yield mixture(3, 7, 0.5)
    yield mixture(0, 6, 0.5, warmup=0.0)
    yield mixture(2, 6, 0.5, warmup=0.0)
    yield mixture(2, 6, 0.5, warmup=0.9)
    yield mixture(2, 6, 0.5, learning_rate=3e-4)
    yield mixture(2, 6, 0.5, learning_rate=3e-3)
    yield mixture(2, 6, 0.5, initial_stddev=0.03)


def _of_other_kinds() -> Iterator[Recipe]:
    for estimator in ("local_reparameterization", "reparameterization"):
        yield mixture(0, 6, 0.5, estimator=estimator)
        yield mixture(2, 6, 0.5, estimator=estimator)
    yield public_recipe()
    yield dataclasses.replace(public_recipe(), sigma_1=math.exp(-2), name="mixture 2, 8, 0.75, public recipe")
    for minus_log_sigma in (0, 2, 3):
        yield Recipe(f"normal {minus_log_sigma:g}", prior="normal", sigma_1=math.exp(-minus_log_sigma))
