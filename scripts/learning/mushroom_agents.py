"""Agents of the Mushroom bandit: what they expect of eating and passing, and how they learn it."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common.reporting import ScriptError
from scripts.learning.earlier_posterior import Heirs
from scripts.learning.learning_loop import compiled_steps

PASS, EAT = 0, 1
# What may come of it.
REWARDS = np.array([-35.0, 0.0, 5.0])
# Plays between two looks at the posterior that is to become the prior.
LOOK_EVERY = 512


@dataclasses.dataclass(frozen=True)
class Head:
    """What a network says of the rewards, and how it learns them.

    Args:
        num_outputs: outputs of the network.
        likelihood: of what it learns.
        target: turns a reward into what it learns.
        expected: turns the mean of what it predicts, [n, numbers], into rewards, [n].
    """

    num_outputs: int
    likelihood: bnn.likelihoods.Likelihood
    target: Callable[[float], float]
    expected: Callable[[np.ndarray], np.ndarray]


# The probability of each reward.
PROBABILITIES = Head(
    len(REWARDS),
    bnn.likelihoods.Categorical(),
    target=lambda reward: float(np.searchsorted(REWARDS, reward)),
    expected=lambda mean: mean @ REWARDS,
)
# The mean reward, in tens.
MEAN = Head(
    1,
    bnn.likelihoods.Normal(scale=0.1),
    target=lambda reward: reward / 10,
    expected=lambda mean: 10 * mean[:, 0],
)


@dataclasses.dataclass(frozen=True)
class Agent:
    """What an agent is: a Bayesian network or a plain one, what it predicts, and how often it acts at random."""

    name: str
    bayesian: bool
    head: Head
    epsilon: float = 0.0

    @property
    def num_draws(self) -> int:
        """Over how many weight draws it averages what it predicts."""
        return 2 if self.bayesian else 1


# Each has the head that suits it: greedy agents that learn probabilities go on eating.
AGENTS = {
    agent.name: agent
    for agent in (
        Agent("bayes", True, PROBABILITIES),
        Agent("greedy", False, MEAN),
        Agent("greedy-1%", False, MEAN, epsilon=0.01),
        Agent("greedy-5%", False, MEAN, epsilon=0.05),
    )
}


def make_network(agent: Agent, args: argparse.Namespace, num_features: int) -> keras.Model:
    """Returns the network, compiled: from features and action, one-hot, to what its head says of the reward."""
    widths = [num_features + 2, args.units, args.units, agent.head.num_outputs]
    activations = ["relu", "relu", None]
    make_layer = bayesian_layer if agent.bayesian else plain_layer
    layers = [make_layer(*widths[at : at + 2], activations[at], args) for at in range(3)]
    model = keras.Sequential([keras.Input(widths[:1]), *layers])
    model.compile(keras.optimizers.Adam(args.learning_rate), loss=agent.head.likelihood)
    model.optimizer.build(model.trainable_variables)
    return model


def bayesian_layer(inputs: int, units: int, activation: str | None, args: argparse.Namespace) -> keras.layers.Layer:
    """Returns a Bayesian layer whose prior can change."""
    return bnn.layers.Dense(
        units,
        activation,
        estimator=args.estimator,
        prior=bnn.priors.EarlierPosterior({"kernel": (inputs, units)}, args.prior_scale),
        posterior=bnn.posteriors.MeanFieldNormal(args.initial_stddev),
        kl_weight=1.0,
    )


def plain_layer(inputs: int, units: int, activation: str | None, args: argparse.Namespace) -> keras.layers.Layer:
    """Returns a layer of Keras's."""
    return keras.layers.Dense(units, activation, kernel_initializer="he_normal")


class Memory:
    """The last plays: which mushroom, which action, which reward as the network learns it."""

    def __init__(self, size: int):
        self._parts = tuple(np.zeros(size, kind) for kind in ("int32", "int32", "float32"))
        self._added = 0

    @property
    def seen(self) -> int:
        """How many plays there were, remembered or not."""
        return self._added

    def add(self, *play: float) -> None:
        """Remembers a play, in the place of the oldest one if there is no other."""
        for part, value in zip(self._parts, play, strict=True):
            part[self._added % len(part)] = value
        self._added += 1

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Returns mushrooms, actions and rewards of random plays."""
        which = rng.integers(min(self._added, len(self._parts[0])), size=shape)
        return tuple(part[which] for part in self._parts)


class Player:
    """An agent with its network, and the last plays that it remembers.

    Of a Bayesian agent, the posterior from before the plays that it remembers is the prior of those: so nothing that
    it learned is forgotten, and no play counts twice. The first posteriors are still too sure, for want of training;
    until `args.prior_from` plays are as far back as it remembers, the prior is the first one, and counts less: its KL
    term is `args.first_kl` times that of the ELBO in which the plays remembered stand for all that were seen.
    """

    def __init__(self, agent: Agent, args: argparse.Namespace, features: np.ndarray, seed: int):
        self._agent, self._args, self._features = agent, args, features
        self._rng = np.random.default_rng(seed)
        self._network = make_network(agent, args, features.shape[1])
        self._bayesian_layers = bnn.layers.variational_layers(self._network)
        self._heirs = Heirs(self._bayesian_layers, distance=args.buffer // LOOK_EVERY)
        self._memory = Memory(args.buffer)
        table, actions = keras.ops.convert_to_tensor(features), keras.ops.eye(2)

        def make_batch(mushroom: Any, action: Any, reward: Any) -> tuple[Any, Any]:
            chosen = [keras.ops.take(table, mushroom, axis=0), keras.ops.take(actions, action, axis=0)]
            return keras.ops.concatenate(chosen, axis=-1), reward[:, None]

        self._learn = compiled_steps(self._network, make_batch)

    def act(self, mushroom: int) -> int:
        """Returns the action that promises more, or now and then a random one."""
        if self._rng.random() < self._agent.epsilon:
            return int(self._rng.integers(2))
        both = np.concatenate([np.tile(self._features[mushroom], (2, 1)), np.eye(2, dtype="float32")], axis=1)
        seed = int(self._rng.integers(2**31 - 1))
        predictive = bnn.predict(self._network, both, self._agent.num_draws, seed=seed, verbose=False)
        expected = self._agent.head.expected(predictive.mean())
        if not np.isfinite(expected).all():
            raise ScriptError(f"The network must expect finite rewards; its training diverged. Received: {expected}")
        return int(expected.argmax())

    def learn(self, mushroom: int, action: int, reward: float) -> None:
        """Remembers a play, and trains on random ones of those remembered."""
        self._memory.add(mushroom, action, self._agent.head.target(reward))
        seen = self._memory.seen
        if seen >= self._args.prior_from and seen % LOOK_EVERY == 0:
            self._heirs.remember()
        weight = 1 / self._args.buffer if self._heirs.have_inherited else self._args.first_kl / seen
        for layer in self._bayesian_layers:
            layer.kl_weight = weight
        updates = self._args.updates if seen < self._args.buffer else self._args.later_updates
        self._learn(*self._memory.sample((updates, self._args.batch_size), self._rng))
