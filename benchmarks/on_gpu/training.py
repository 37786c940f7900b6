"""Training in compiled loops of JAX: the step, an epoch, and several networks of one shape side by side."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import keras
import numpy as np

import tfp_bnn as bnn
from benchmarks.on_gpu.recipes import Recipe
from scripts.common.reporting import log

Tensor = Any
State = tuple[list[Tensor], list[Tensor], list[Tensor]]
Step = Callable[[State, Tensor, Tensor, Tensor, Tensor], tuple[State, tuple[Tensor, Tensor]]]

NUM_INPUTS, NUM_CLASSES = 784, 10


def training_step(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Step:
    """Returns a step of an own training loop: forward, backward, and the optimizer's update.

    It takes the state, images, labels, the learning rate and what the KL terms are multiplied by, and returns the new
    state, and the two halves of the loss: the mean negative log-likelihood, and the KL terms. A plain network has none.

    Args:
        model: built; its Bayesian layers have their `kl_weight`.
        optimizer: built for its trainable variables, with a learning rate that is a number.
    """
    likelihood = bnn.likelihoods.Categorical()
    rates = [variable.path.endswith("/learning_rate") for variable in optimizer.variables]
    assert sum(rates) == 1

    def step(state: State, x: Tensor, y: Tensor, learning_rate: Tensor, kl_factor: Tensor) -> Any:
        trainable, others, of_optimizer = state

        def loss(trainable: list[Tensor]) -> Any:
            # The KL terms are at the draw that the outputs are of: `bnn.kl_divergence` would draw once more.
            outputs, new, losses = model.stateless_call(trainable, others, x, training=True, return_losses=True)
            nll, kl = likelihood(y, outputs), sum(losses, jax.numpy.zeros(()))
            return nll + kl_factor * kl, (new, nll, kl)

        (_, (others, nll, kl)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        of_optimizer = [learning_rate if is_rate else value for is_rate, value in zip(rates, of_optimizer, strict=True)]
        trainable, of_optimizer = optimizer.stateless_apply(of_optimizer, gradients, trainable)
        return (trainable, others, of_optimizer), (nll, kl)

    return step


def state_of(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> State:
    """Returns the values that a step changes."""
    groups = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    # Copies, since a compiled step takes over what it is given.
    return tuple([jax.numpy.array(variable.value) for variable in group] for group in groups)


def make_optimizer(name: str) -> keras.optimizers.Optimizer:
    """Returns an optimizer; each step sets its learning rate."""
    return {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[name](1e-3)


def make_network(recipe: Recipe, num_examples: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Returns a network of two hidden layers at its start, and its optimizer."""
    keras.utils.set_random_seed(recipe.seed)
    reach = recipe.initial_mean_range
    means = "he_normal" if reach is None else keras.initializers.RandomUniform(-reach, reach)
    model = bnn.models.mlp(
        (NUM_INPUTS,),
        [recipe.width] * 2,
        NUM_CLASSES,
        estimator=recipe.estimator,
        prior=make_prior(recipe),
        posterior=bnn.posteriors.MeanFieldNormal(recipe.initial_stddev, means),
    )
    for layer in bnn.layers.variational_layers(model):
        layer.kl_weight = 1 / num_examples
    optimizer = make_optimizer(recipe.optimizer)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def make_prior(recipe: Recipe) -> bnn.priors.Prior:
    """Returns the prior. That of a mixture is made of variables, which are frozen: so networks can differ in it."""
    if recipe.prior == "normal":
        return bnn.priors.Normal(recipe.sigma_1)
    prior = bnn.priors.ScaleMixture(recipe.sigma_1, recipe.sigma_2, recipe.pi, trainable=True)
    prior.trainable = False
    return prior


class Group:
    """Networks of one shape that train side by side in one compiled epoch: each by its recipe, with noise of its own.

    Args:
        recipes: theirs; what `Recipe.program` says is the same for all.
        images: training images, [n, 784], on the device.
        labels: their labels, [n].
    """

    def __init__(self, recipes: Sequence[Recipe], images: Tensor, labels: Tensor):
        self._data = images, labels
        self.seconds = 0.0
        self._step = training_step(*self.start(recipes))

    def start(self, recipes: Sequence[Recipe]) -> tuple[keras.Model, keras.optimizers.Optimizer]:
        """Makes the networks anew, also by other recipes of the same program; returns the first, and its optimizer."""
        self.recipes = tuple(recipes)
        networks = [make_network(recipe, len(self._data[0])) for recipe in recipes]
        self._states = jax.tree.map(lambda *each: jax.numpy.stack(each), *[state_of(*network) for network in networks])
        self._numbers = {
            "learning_rate": jax.numpy.array([recipe.learning_rate for recipe in recipes]),
            "falls_in_a_step": jax.numpy.array([recipe.decay == "step" for recipe in recipes]),
            "warmup": jax.numpy.array([recipe.warmup for recipe in recipes]),
            "key": jax.numpy.stack([jax.random.PRNGKey(recipe.seed) for recipe in recipes]),
        }
        return networks[0]

    @property
    def num_steps(self) -> int:
        """Steps of an epoch; the images that are too few for a batch are left out, others each time."""
        return max(1, len(self._data[0]) // self.recipes[0].batch_size)

    def lower(self) -> None:
        """Traces an epoch."""
        epoch = jax.jit(jax.vmap(self._epoch, in_axes=(0, 0, None, None, None, None)), donate_argnums=0)
        self._lowered = epoch.lower(self._states, self._numbers, 0.0, 1.0, *self._data)

    def compile(self) -> None:
        """Compiles what was traced; may run in a thread."""
        self._run = self._lowered.compile()

    def _epoch(self, state: State, numbers: dict[str, Tensor], epoch: Tensor, epochs: Tensor, *data: Tensor) -> Any:
        images, labels = data
        batch_size = self.recipes[0].batch_size
        key = jax.random.fold_in(numbers["key"], epoch.astype("int32"))
        order = jax.random.permutation(key, len(images))[: self.num_steps * batch_size]

        def step(state: State, at: Any) -> Any:
            index, rows = at
            progress = (epoch + index / self.num_steps) / epochs
            return self._step(state, images[rows], labels[rows], *_schedules(numbers, progress))

        steps = jax.numpy.arange(self.num_steps), order.reshape(self.num_steps, -1)
        state, halves = jax.lax.scan(step, state, steps)
        return state, jax.tree.map(jax.numpy.mean, halves)

    def seconds_an_epoch(self) -> float:
        """Measures an epoch, without training."""
        for _ in range(2):
            states = jax.block_until_ready(jax.tree.map(jax.numpy.copy, self._states))
            started = time.perf_counter()
            jax.block_until_ready(self._run(states, self._numbers, 0.0, 1.0, *self._data))
        return time.perf_counter() - started

    def train(self, epochs: int, deadline: float) -> int:
        """Trains; returns for how many epochs, less than asked for if the clock passes the deadline."""
        started = time.perf_counter()
        for epoch in range(epochs):
            self._states, halves = self._run(self._states, self._numbers, float(epoch), float(epochs), *self._data)
            nll, kl = (np.asarray(each) for each in halves)
            if (epoch + 1) % max(1, epochs // 5) == 0:
                log.info("epoch %d of %d: nll %s kl %s", epoch + 1, epochs, np.round(nll, 4), np.round(kl, 3))
            if time.perf_counter() > deadline:
                break
        self.seconds, self.halves = time.perf_counter() - started, (nll, kl)
        return epoch + 1

    def weights(self, index: int) -> list[Tensor]:
        """Returns the trained values of one network: means, rhos and biases."""
        return [values[index] for values in self._states[0]]


def _schedules(numbers: dict[str, Tensor], progress: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the learning rate and the factor of the KL terms after this share of the training."""
    where = jax.numpy.where
    cosine = 0.5 * (1 + jax.numpy.cos(jax.numpy.pi * progress))
    fall = where(numbers["falls_in_a_step"], where(progress < 0.5, 1.0, 0.1), cosine)
    warmup = numbers["warmup"]
    rise = where(warmup > 0, jax.numpy.minimum(1.0, progress / jax.numpy.maximum(warmup, 1e-6)), 1.0)
    return numbers["learning_rate"] * fall, rise


def grouped(recipes: Iterable[Recipe], images: Tensor, labels: Tensor) -> list[Group]:
    """Returns the groups of recipes that can train side by side, in the order in which they come."""
    by_program: dict[Any, list[Recipe]] = {}
    for recipe in recipes:
        by_program.setdefault(recipe.program, []).append(recipe)
    return [Group(each, images, labels) for each in by_program.values()]


def compile_all(things: Iterable[Any], deadline: float = float("inf")) -> list[Any]:
    """Traces one after the other and compiles in threads; returns those whose turn came before the deadline."""
    done, waiting = [], []
    with ThreadPoolExecutor() as pool:
        for thing in things:
            if time.perf_counter() > deadline:
                break
            thing.lower()
            done.append(thing)
            waiting.append(pool.submit(thing.compile))
        for each in waiting:
            each.result()
    return done


@functools.cache
def predictor(width: int) -> keras.Model:
    """Returns the network of a width that all trained ones predict with, compiled for `bnn.predict`."""
    model = bnn.models.mlp((NUM_INPUTS,), [width] * 2, NUM_CLASSES)
    model.compile(loss=bnn.likelihoods.Categorical())
    return model


def with_weights(model: keras.Model, weights: Sequence[Tensor]) -> keras.Model:
    """Returns the model, with these trainable values."""
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    return model
