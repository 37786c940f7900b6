"""The Mushroom bandit's game and its figures, played by agents whose regret is known."""

import argparse

import numpy as np
import pytest

from scripts import bandit
from scripts.data import mushrooms
from scripts.learning import mushroom_agents
from scripts.learning.mushroom_agents import AGENTS, EAT, PASS
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

EDIBLE = np.arange(40) % 4 != 0  # ten of forty are poisonous
ARGS = argparse.Namespace(plays=600)


def test_a_poisonous_mushroom_costs_fifteen_on_average_and_regret_is_beyond_the_best():
    rng = np.random.default_rng(0)
    eaten = [bandit.rewards(False, EAT, rng) for _ in range(4000)]
    assert {reward for reward, _ in eaten} == {5.0, -35.0}
    mean = np.mean([reward for reward, _ in eaten])
    assert abs(mean + 15) < 5 * 20 / np.sqrt(4000)
    # To pass is best: 0, 15 more than eating brings on average.
    assert {regret for _, regret in eaten} == {15.0}
    assert bandit.rewards(False, PASS, rng) == (0.0, 0.0)
    assert bandit.rewards(True, EAT, rng) == (5.0, 0.0)
    assert bandit.rewards(True, PASS, rng) == (0.0, 5.0)


def played(policy, monkeypatch):
    """Returns the game of a player who acts by a function of whether the mushroom can be eaten, and what it saw."""
    seen = []

    class Player:
        def __init__(self, agent, args, features, seed):
            self.edible = features[:, 0] > 0

        def act(self, mushroom):
            return policy(self.edible[mushroom])

        def learn(self, mushroom, action, reward):
            seen.append((self.edible[mushroom], action, reward))

    monkeypatch.setattr(bandit, "Player", Player)
    data = mushrooms.Mushrooms(EDIBLE[:, np.newaxis].astype("float32"), EDIBLE)
    return bandit.play(AGENTS["greedy"], ARGS, data, seed=1), seen


def test_the_best_agent_regrets_nothing(monkeypatch):
    game, seen = played(lambda edible: EAT if edible else PASS, monkeypatch)
    assert game["regret"] == game["eaten_poisonous"] == game["passed_edible"] == [0] * 200
    assert {(edible, reward) for edible, _, reward in seen} == {(True, 5.0), (False, 0.0)}
    assert (game["plays"], game["every"], len(seen)) == (600, 3, 600)


@pytest.mark.parametrize(
    ("action", "cost", "mistake", "other"),
    [(EAT, 15, "eaten_poisonous", "passed_edible"), (PASS, 5, "passed_edible", "eaten_poisonous")],
)
def test_regret_is_counted_as_it_grows(action, cost, mistake, other, monkeypatch):
    game, seen = played(lambda edible: action, monkeypatch)
    wrong = np.array([edible == (action == PASS) for edible, _, _ in seen])
    expected = np.cumsum(wrong)[2::3]
    assert game[mistake] == expected.tolist()
    assert game["regret"] == (cost * expected).tolist()
    assert game[other] == [0] * 200


def test_the_summary_is_the_median_of_the_last_regrets():
    games = [{"agent": "bayes", "regret": [999, last]} for last in (10, 20, 30, 40, 1000)]
    games += [{"agent": "greedy", "regret": [0, 7]}]
    assert bandit.summary(games) == {
        "bayes": {"median": 30, "quartiles": [20, 40], "seeds": 5},
        "greedy": {"median": 7, "quartiles": [7, 7], "seeds": 1},
    }


def test_the_last_plays_are_remembered():
    memory = mushroom_agents.Memory(4)
    for play in range(7):
        memory.add(play, play % 2, 0.5 * play)
    assert memory.seen == 7
    which, actions, rewards = memory.sample((500,), np.random.default_rng(0))
    assert set(which.tolist()) == {3, 4, 5, 6}
    np.testing.assert_array_equal(actions, which % 2)
    np.testing.assert_array_equal(rewards, 0.5 * which)


def test_edible_are_those_marked_e(tmp_path):
    (tmp_path / "mushroom.csv").write_text("edibility,odor\ne,a\np,f\ne,n\ne,a\n")
    data = mushrooms.load(str(tmp_path))
    assert data.edible.tolist() == [True, False, True, True]
    # One-hot, in the order of the odors: a, f, n.
    np.testing.assert_array_equal(data.features, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])


def test_curves_are_medians_of_regret_over_plays():
    games = [{"agent": "bayes", "every": 50, "regret": [at, 10 * at]} for at in (1, 2, 9)]
    (axes,) = bandit.draw(games).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[50, 2], [100, 20]])
