"""Tables of the page of results, made of JSON files whose figures are known."""

import json

import pytest

from scripts.result_pages import tables
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Returns a function that writes a result where the tables look for it."""
    monkeypatch.setattr(tables, "RESULTS", tmp_path)

    def write(path, content):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(json.dumps(content))

    return write


def cells(table):
    """Returns the rows of a table in Markdown, as dicts by the names of the columns."""
    header, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_the_spread_is_the_standard_deviation_of_a_sample():
    assert tables.spread([1.0, 2.0, 4.5], 2) == "2.50 ± 1.80"
    assert tables.spread([1.0, 3.0], 2) == "2.00 ± 1.41"
    assert tables.spread([1.25], 1) == "1.2"


def test_a_row_of_pruning_has_the_error_of_each_network_on_test_images(results):
    rows = [
        {"sparsity": sparsity, "network": network, "images": images, "error_percent": error, "weights_kept": kept}
        for images, offset in (("validation", 50), ("test", 0))
        for sparsity, kept in ((0.0, 1000), (0.98, 20))
        for network, error in (("mean weights", 1.5 + sparsity + offset), ("Monte Carlo", 1.25 + offset))
    ]
    results("pruning/a.json", {"rows": rows})
    assert cells(tables.pruning_table("a")) == [
        {
            "pruned": "0 %",
            "weights kept of the Bayesian network": "1,000",
            "mean weights": "1.50",
            "Monte Carlo": "1.25",
        },
        {"pruned": "98 %", "weights kept of the Bayesian network": "20", "mean weights": "2.48", "Monte Carlo": "1.25"},
    ]
    assert tables.pruning_table("b") == "Not run yet."


def test_the_longest_games_of_bandits_come_first(results):
    def game(plays, **agents):
        return {
            "arguments": {"plays": plays},
            "regret": {agent: {"median": m, "quartiles": [m - 1, m + 2], "seeds": 5} for agent, m in agents.items()},
        }

    results("bandit/a.json", game(100, bayes=40.0))
    results("bandit/b.json", game(50_000, bayes=4290.0, greedy=5300.0))
    rows = cells(tables.bandit_table())
    assert [(row["agent"], row["plays"], row["median regret"]) for row in rows] == [
        ("bayes", "50,000", "4,290"),
        ("greedy", "50,000", "5,300"),
        ("bayes", "100", "40"),
    ]
    assert (rows[0]["lower quartile"], rows[0]["upper quartile"], rows[0]["seeds"]) == ("4,289", "4,292", "5")


def test_few_images_are_averaged_over_seeds_by_number_and_network(results):
    rows = [
        {"size": size, "network": network, "seed": seed, "error_percent": error + seed, "nll": 0.5, "ece": 0.1}
        for seed in (0, 2)
        for size, network, error in ((300, "plain", 20.0), (100, "plain", 30.0), (100, "dropout", 25.0))
    ]
    results("small_data/a.json", {"rows": rows})
    found = [(row["training images"], row["network"], row["error"]) for row in cells(tables.small_data_table())]
    assert found == [
        ("100", "plain", "31.00 ± 1.41"),
        ("100", "dropout", "26.00 ± 1.41"),
        ("300", "plain", "21.00 ± 1.41"),
    ]


def test_detection_is_the_auroc_of_each_score_and_kind(results):
    scores = {"entropy": {"auroc": 0.75, "aupr": 0.1}, "energy": {"auroc": 0.5, "aupr": 0.2}}
    noise = {"entropy": {"auroc": 0.99, "aupr": 0.3}, "energy": {"auroc": 0.125, "aupr": 0.4}}
    results("out_of_distribution/a.json", {"networks": {"plain": {"detection": {"other_set": scores, "noise": noise}}}})
    assert cells(tables.detection_table("a")) == [
        {"network": "plain", "score": "entropy", "other set": "0.750", "noise": "0.990"},
        {"network": "plain", "score": "energy", "other set": "0.500", "noise": "0.125"},
    ]


def test_the_tables_of_regressions_have_each_figure_in_its_column(results):
    def figure(mean, error=None):
        return {"mean": mean, "standard_error": error}

    of_method = {
        "log_likelihood": figure(-2.371, 0.044),
        "rmse": figure(2.5, 0.25),
        "coverage": figure(0.95),
        "width": figure(9.0),
        "log_likelihood_in_literature": -2.64,
        "splits": 20,
    }
    rows = [{"set": "boston", "method": "dropout", "likelihood": "normal"}]
    rows += [{"set": "boston", "method": "bayes", "likelihood": "student-t"}]
    results("uci/a.json", {"summary": {"boston": {"bayes": of_method}}, "rows": rows})
    (row,) = cells(tables.uci_table())
    assert row == {
        "set": "boston",
        "method": "bayes",
        "noise": "student-t",
        "log-likelihood": "-2.37 ± 0.04",
        "literature": "-2.64",
        "RMSE": "2.500 ± 0.250",
        "coverage": "0.950",
        "width": "9.000",
        "splits": "20",
    }


def test_a_perceptron_is_averaged_over_its_seeds_by_what_is_best_of_it(results):
    for seed, error in ((0, 1.0), (1, 2.0)):
        tests = {
            "mean_weights": {"error_percent": error, "nll": 0.5, "ece": 0.5},
            "one_draw": {"error_percent": error + 1, "nll": 0.6, "ece": 0.6},
            "ensemble": {"error_percent": error / 2, "nll": 0.04 + 0.01 * seed, "ece": 0.0025},
        }
        run = {"test": tests, "arguments": {"units": 400}, "epochs": 10.0, "seconds": 90.0, "devices": ["cpu:0"]}
        run["command"] = "python scripts/train_mlp.py --units 400 --output-dir runs/there --resume"
        results(f"mlp/mnist-400-gaussian-seed{seed}.json", run)
    (row,) = cells(tables.mlp_table("mnist", tables.METHODS))
    assert (row["mean weights"], row["one draw"]) == ("1.50 ± 0.71", "2.50 ± 0.71")
    assert (row["ensemble"], row["nll"], row["ECE"]) == ("0.75 ± 0.35", "0.0450 ± 0.0071", "0.0025 ± 0.0000")
    assert (row["seeds"], row["minutes a run"]) == ("2", "1.5, cpu:0")
    assert "paper 1.82" in row["others"]
    assert row["the first seed's command and results"].startswith("`python scripts/train_mlp.py --units 400`;")
