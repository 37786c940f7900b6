"""The Mushroom bandit of Blundell et al. 2015, section 5.3: Thompson sampling beside greedy agents.

An agent is offered one mushroom after the other and eats it or passes. Edible: +5. Poisonous: -35 or +5 with equal
chances. Passed: 0. From its last plays it learns what to expect. OUTPUT_DIR then holds a JSON file for each agent
and seed (those that are there already are not played again), regret.json and regret.png.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from tqdm import auto as tqdm

from scripts.common import reporting
from scripts.common.kept_results import read_or_make, settings
from scripts.common.reporting import ScriptError, log
from scripts.data import mushrooms
from scripts.learning.mushroom_agents import AGENTS, EAT, LOOK_EVERY, PASS, Agent, Player
from tfp_bnn.plots.style import panels, themed

RECORDS = 200  # of the regret, in each game


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data-dir", help="directory with mushroom.csv; without it TFP_BNN_DATA, then OpenML")
    parser.add_argument("--agents", nargs="+", choices=tuple(AGENTS), default=tuple(AGENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2, 3, 4))
    parser.add_argument("--plays", type=int, default=50_000, help="mushrooms of a game")
    parser.add_argument("--buffer", type=int, default=4096, help="how many of the last plays an agent learns from")
    parser.add_argument("--updates", type=int, default=64, help="training steps after each play")
    parser.add_argument("--later-updates", type=int, help="the same, once the buffer is full; default: as many")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=100, help="width of each of the two hidden layers")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam")
    parser.add_argument("--prior-scale", type=float, default=1.0, help="standard deviation of the first prior")
    parser.add_argument("--first-kl", type=float, default=0.1, help="weight of the KL term at first")
    parser.add_argument(
        "--prior-from", type=int, default=4096, help="plays after which a posterior may become the prior of later ones"
    )
    parser.add_argument("--initial-stddev", type=float, default=0.02, help="posterior standard deviation at the start")
    parser.add_argument("--estimator", choices=reporting.ESTIMATORS, default="reparameterization")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/bandit"))
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ScriptError if an argument is out of range, before any work is done."""
    if args.later_updates is None:
        args.later_updates = args.updates
    reporting.check_at_least_one(args, "plays", "updates", "later_updates", "batch_size", "units", "buffer")
    reporting.check_positive(args, "learning_rate", "prior_scale", "first_kl", "initial_stddev")
    if args.buffer % LOOK_EVERY:
        raise ScriptError(f"--buffer must be a multiple of {LOOK_EVERY}. Received: {args.buffer}")


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
    check_arguments(args)
    reporting.make_output_directory(args.output_dir)
    data = mushrooms.load(args.data_dir)
    devices = reporting.log_devices()
    games = []
    for seed in args.seeds:
        for name in args.agents:
            path = args.output_dir / f"{name.replace('%', '')}-seed{seed}.json"
            make = partial(play, AGENTS[name], args, data, seed)
            games.append(read_or_make(path, settings(args, but=("agents", "seeds")), make))
    reporting.save_figure(draw(games), args.output_dir, "regret")
    found = summary(games)
    report = {"regret": found, "games": games, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "regret.json")
    for agent, figures in found.items():
        log.info("%s: regret %.0f, quartiles %.0f to %.0f", agent, figures["median"], *figures["quartiles"])


if __name__ == "__main__":
    reporting.exit_on_error(main)
