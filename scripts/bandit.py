"""The Mushroom bandit of Blundell et al. 2015, section 5.3: Thompson sampling beside greedy agents.

An agent is offered one mushroom after the other and eats it or passes. Edible: +5. Poisonous: -35 or +5 with equal
chances. Passed: 0. It learns the expected reward of both actions from its last plays. OUTPUT_DIR then holds a JSON file
for each agent and seed (those that are there already are not played again), regret.json and regret.png.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import mushrooms
import numpy as np
import pandas as pd
import reporting
import seaborn
from learning_loop import compiled_steps
from matplotlib.figure import Figure
from reporting import ScriptError, log
from tqdm import auto as tqdm

import tfp_bnn as bnn
from tfp_bnn.plots.style import panels, themed

PASS, EAT = 0, 1
RECORDS = 200  # of the regret, in each game
# Rewards are from -35 to 5; the network learns them in tens.
REWARD_UNIT = 10.0


@dataclasses.dataclass(frozen=True)
class Agent:
    """What an agent is: a Bayesian network or a plain one, and how often it acts at random."""

    name: str
    bayesian: bool
    epsilon: float = 0.0

    @property
    def num_draws(self) -> int:
        """Over how many weight draws it averages the rewards that it expects."""
        return 2 if self.bayesian else 1


AGENTS = {
    agent.name: agent
    for agent in (
        Agent("bayes", bayesian=True),
        Agent("greedy", bayesian=False),
        Agent("greedy-1%", bayesian=False, epsilon=0.01),
        Agent("greedy-5%", bayesian=False, epsilon=0.05),
    )
}


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data-dir", help="directory with mushroom.csv; without it TFP_BNN_DATA, then OpenML")
    parser.add_argument("--agents", nargs="+", choices=tuple(AGENTS), default=tuple(AGENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2, 3, 4))
    parser.add_argument("--plays", type=int, default=50_000, help="mushrooms of a game")
    parser.add_argument("--buffer", type=int, default=4096, help="how many of the last plays an agent learns from")
    parser.add_argument("--updates", type=int, default=64, help="training steps after each play")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=100, help="width of each of the two hidden layers")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam")
    parser.add_argument("--prior-scale", type=float, default=1.0, help="standard deviation of the normal prior")
    parser.add_argument("--initial-stddev", type=float, default=0.02, help="posterior standard deviation at the start")
    parser.add_argument("--estimator", choices=reporting.ESTIMATORS, default="reparameterization")
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation of a reward, in tens")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/bandit"))
    return parser.parse_args()


# An agent's network.


def make_network(agent: Agent, args: argparse.Namespace, num_features: int) -> keras.Model:
    """Returns the network, compiled: from features and action, one-hot, to the reward."""
    widths = [(args.units, "relu"), (args.units, "relu"), (1, None)]
    if agent.bayesian:
        random: dict[str, Any] = {
            "prior": bnn.priors.Normal(scale=args.prior_scale),
            "posterior": bnn.posteriors.MeanFieldNormal(args.initial_stddev),
            "kl_weight": 1.0,
        }
        dense = bnn.models.layer_class("Dense", args.estimator)
        layers = [dense(width, activation, **random) for width, activation in widths]
    else:
        layers = [keras.layers.Dense(width, activation, kernel_initializer="he_normal") for width, activation in widths]
    model = keras.Sequential([keras.Input((num_features + 2,)), *layers])
    model.compile(keras.optimizers.Adam(args.learning_rate), loss=bnn.likelihoods.Normal(scale=args.noise))
    model.optimizer.build(model.trainable_variables)
    return model


class Memory:
    """The last plays: which mushroom, which action, which reward."""

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
    """An agent with its network, and the last plays that it remembers."""

    def __init__(self, agent: Agent, args: argparse.Namespace, features: np.ndarray, seed: int):
        self._agent, self._args, self._features = agent, args, features
        self._rng = np.random.default_rng(seed)
        self._network = make_network(agent, args, features.shape[1])
        self._bayesian_layers = bnn.layers.variational_layers(self._network)
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
        return int(predictive.mean()[:, 0].argmax())

    def learn(self, mushroom: int, action: int, reward: float) -> None:
        """Remembers a play, and trains on random ones of those remembered."""
        self._memory.add(mushroom, action, reward / REWARD_UNIT)
        # The plays remembered stand for all: the posterior is that of every play so far.
        for layer in self._bayesian_layers:
            layer.kl_weight = 1 / self._memory.seen
        self._learn(*self._memory.sample((self._args.updates, self._args.batch_size), self._rng))


# The game.


def rewards(edible: bool, action: int, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the reward of an action, and its regret: what the best action brings on average beyond this one."""
    if action == PASS:
        return 0.0, 5.0 if edible else 0.0
    if edible:
        return 5.0, 0.0
    return (5.0 if rng.random() < 0.5 else -35.0), 15.0


def play(agent: Agent, args: argparse.Namespace, data: mushrooms.Mushrooms, seed: int) -> dict[str, Any]:
    """Plays one game; returns its regret and the mistakes behind it as they grew, and how long it took."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    player = Player(agent, args, data.features, seed)
    started, curves = time.perf_counter(), {"regret": [], "eaten_poisonous": [], "passed_edible": []}
    totals = dict.fromkeys(curves, 0)
    every = max(1, args.plays // RECORDS)
    for number in tqdm.trange(1, args.plays + 1, desc=f"{agent.name}, seed {seed}", mininterval=5):
        mushroom = int(rng.integers(len(data.edible)))
        action = player.act(mushroom)
        reward, loss = rewards(bool(data.edible[mushroom]), action, rng)
        totals["regret"] += loss
        totals["eaten_poisonous" if action == EAT else "passed_edible"] += loss > 0
        player.learn(mushroom, action, reward)
        if number % every == 0:
            for name, curve in curves.items():
                curve.append(totals[name])
    return {
        "agent": agent.name,
        "seed": seed,
        "plays": args.plays,
        "every": every,
        **curves,
        "seconds": round(time.perf_counter() - started, 1),
    }


# What comes of it.


def summary(games: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns median and quartiles over seeds of the regret at the end, for each agent."""
    table = pd.DataFrame([{"agent": game["agent"], "regret": game["regret"][-1]} for game in games])
    described = table.groupby("agent", sort=False)["regret"].describe()
    return {
        agent: {"median": row["50%"], "quartiles": [row["25%"], row["75%"]], "seeds": int(row["count"])}
        for agent, row in described.iterrows()
    }


@themed
def draw(games: Sequence[dict[str, Any]]) -> Figure:
    """Returns the curves of cumulative regret: the median over seeds, and the quartiles."""
    rows = [
        {"agent": game["agent"], "play": game["every"] * (at + 1), "regret": regret}
        for game in games
        for at, regret in enumerate(game["regret"])
    ]
    figure, (axes,) = panels(1, 1, (7, 4.2))
    seaborn.lineplot(
        pd.DataFrame(rows),
        x="play",
        y="regret",
        hue="agent",
        estimator="median",
        errorbar=("pi", 50),
        ax=axes,
        palette="colorblind",
    )
    axes.set(xlabel="Plays", ylabel="Cumulative regret", title="Mushroom bandit: median and quartiles over seeds")
    axes.legend(title=None)
    return figure


def main() -> None:
    """Plays the games that have not been played, and draws them all."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "plays", "buffer", "updates", "batch_size", "units")
    reporting.make_output_directory(args.output_dir)
    data = mushrooms.load(args.data_dir)
    devices = reporting.log_devices()
    games = []
    for seed in args.seeds:
        for name in args.agents:
            path = args.output_dir / f"{name.replace('%', '')}-seed{seed}.json"
            if not path.exists():
                reporting.write_json(play(AGENTS[name], args, data, seed), path)
            game = json.loads(path.read_text())
            if game["plays"] != args.plays:
                raise ScriptError(f"{path} must be a game of {args.plays} plays. Received: one of {game['plays']}")
            games.append(game)
    reporting.save_figure(draw(games), args.output_dir, "regret")
    found = summary(games)
    report = {"regret": found, "games": games, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "regret.json")
    for agent, figures in found.items():
        log.info("%s: regret %.0f, quartiles %.0f to %.0f", agent, figures["median"], *figures["quartiles"])


if __name__ == "__main__":
    reporting.exit_on_error(main)
