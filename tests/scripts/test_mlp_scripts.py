"""The scripts of the paper's experiments, run briefly."""

import argparse
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import tfp_bnn as bnn
from scripts import bandit, prune, results, small_data, train_mlp
from scripts.common import kept_results, reporting
from scripts.learning import mushroom_agents as agents
from scripts.learning.several_draws import RepeatedBatches, schedule_of_minibatches
from tests.scripts.script_runs import run_here, with_quick_networks
from tests.support.on_backends import on_jax_alone

BRIEF = ("--dataset", "mnist_sample", "--units", 20, "--num-validation", 32)
SCHEDULE = ("--epochs", 2, "--learning-rate", 0.01, "--kl-schedule", "blundell")
QUALITY = {"error_percent", "nll", "ece"}


@pytest.fixture(scope="module")
def bayesian(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bayesian")
    arguments = ("--preset", "blundell-mixture", *BRIEF, "--learn-prior", "--train-draws", 2, "--num-draws", 5)
    run_here("train_mlp", *arguments, *SCHEDULE, "--output-dir", directory)
    return directory


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    directory = tmp_path_factory.mktemp("plain")
    # Dropout leaves a narrow network too little to learn from within few steps.
    brief = (*BRIEF, "--units", 100, "--epochs", 3, "--learning-rate", 0.003)
    run_here("train_mlp", "--preset", "plain-dropout", *brief, "--output-dir", directory)
    return directory


@on_jax_alone
def test_training_reports_mean_weights_one_draw_and_the_ensemble(bayesian):
    report = json.loads((bayesian / "metrics.json").read_text())
    assert report["epochs"] == 2
    for images in ("validation", "test"):
        assert set(report[images]) == {"mean_weights", "one_draw", "ensemble"}
        for figures in report[images].values():
            assert set(figures) == QUALITY
    assert report["test"]["ensemble"]["error_percent"] < 70  # chance is 90, its standard error 1
    assert report["test"]["ensemble"]["nll"] <= report["test"]["one_draw"]["nll"]  # by Jensen's inequality
    assert report["arguments"]["pixel_divisor"] == 126  # of the preset
    assert report["arguments"]["units"] == 20  # of the command line, over the preset's
    assert report["arguments"]["optimizer"] == "adam"  # of the preset
    names = {"model.keras", "history.csv", "curves.png", "weights.png", "signal_to_noise.png"}
    assert names <= {path.name for path in bayesian.iterdir()}
    history = pd.read_csv(bayesian / "history.csv")
    assert len(history) == 2
    assert report["seconds"] == pytest.approx(history["seconds"].sum(), abs=0.1)
    assert report["seconds"] > 0


@on_jax_alone
def test_a_plain_network_has_mean_weights_alone(plain):
    report = json.loads((plain / "metrics.json").read_text())
    assert set(report["test"]) == {"mean_weights"}
    assert report["test"]["mean_weights"]["error_percent"] < 70


@on_jax_alone
def test_pruning_writes_a_row_for_each_sparsity_and_network(bayesian, plain, tmp_path):
    arguments = ("--plain-model", plain / "model.keras", "--dataset", "mnist_sample", "--sparsities", 0, 0.5, 1)
    run_here("prune", bayesian / "model.keras", *arguments, "--num-draws", 5, "--output-dir", tmp_path)
    report = json.loads((tmp_path / "pruning.json").read_text())
    assert len(report["rows"]) == 3 * 3 * 2
    test = {(row["sparsity"], row["network"]): row for row in report["rows"] if row["images"] == "test"}
    total = 784 * 20 + 20 + 20 * 20 + 20 + 20 * 10 + 10
    assert [test[sparsity, "mean weights"]["weights_kept"] for sparsity in (0, 0.5, 1)] == [total, total // 2, 0]
    trained = json.loads((bayesian / "metrics.json").read_text())["test"]["mean_weights"]["error_percent"]
    assert test[0, "mean weights"]["error_percent"] == pytest.approx(trained)
    for network in ("mean weights", "Monte Carlo"):
        assert test[1, network]["error_percent"] == pytest.approx(90)  # 1,000 images, 100 of each digit
        assert test[1, network]["nll"] == pytest.approx(np.log(10), abs=1e-4)
    assert {"pruning.png", "signal_to_noise.png", "pruned.keras"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(("by_layer", "gone"), [(False, [4, 0]), (True, [2, 2])])
def test_a_plain_network_loses_the_least_weights_of_its_kernels(by_layer, gone):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    kernels = [np.array([[1.0, -2.0], [3.0, -4.0]]), np.array([[5.0, -6.0], [7.0, -8.0]])]
    model.set_weights([kernels[0], np.full(2, 0.1), kernels[1], np.full(2, 0.1)])
    pruned, kept = prune.pruned_by_magnitude(model, 0.5, by_layer)
    assert [int((layer.kernel.numpy() == 0).sum()) for layer in pruned.layers] == gone
    assert kept == 12 - 4  # biases stay
    np.testing.assert_array_equal(pruned.layers[1].bias.numpy(), np.full(2, 0.1, "float32"))


@on_jax_alone
def test_the_papers_regression_is_unsure_beyond_its_data(tmp_path):
    run_here("regression_curve", "--steps", 600, "--num-draws", 50, "--output-dir", tmp_path)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["ratio"] > 3
    assert report["rmse_inside"]["Bayes by Backprop"] < 0.1
    assert (tmp_path / "curve.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--units", 0), "--units must be at least 1. Received: 0"),
        (("--prior", "normal", "--learn-prior"), "--learn-prior needs --prior scale-mixture"),
        (("--pixel-divisor", 0), "--pixel-divisor must be positive"),
        (("--initial-mean-range", 0), "--initial-mean-range must be positive"),
    ],
)
def test_bad_arguments_are_one_line_before_any_work(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["train_mlp.py", "--output-dir", str(tmp_path / "new"), *map(str, arguments)])
    with pytest.raises(reporting.ScriptError, match=message):
        train_mlp.check_arguments(train_mlp.parse_arguments())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("method", "optimizer"), [("bayes", "adam"), ("sgd", "sgd"), ("dropout", "adam")])
def test_a_method_has_its_optimizer_unless_another_is_asked_for(method, optimizer, monkeypatch):
    for asked, expected in (((), optimizer), (("--optimizer", "adam"), "adam")):
        monkeypatch.setattr("sys.argv", ["train_mlp.py", "--method", method, *asked])
        assert train_mlp.parse_arguments().optimizer == expected


@pytest.mark.parametrize("draws", [1, 3])
def test_the_learning_rate_falls_over_the_whole_training_however_many_draws_a_step(draws, monkeypatch):
    words = f"--lr-schedule cosine --learning-rate 0.1 --train-draws {draws}"
    monkeypatch.setattr("sys.argv", ["train_mlp.py", *words.split()])
    optimizer = train_mlp.make_optimizer(train_mlp.parse_arguments(), steps=10)
    weight = keras.Variable(np.zeros(1, "float32"))
    rates = []
    for _ in range(10 * draws):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.ones(1)], [weight])
    halfway = rates[5 * draws]
    assert halfway == pytest.approx(0.05)
    assert 0 < rates[-1] < 0.01
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-8)


def test_results_of_other_arguments_are_not_taken_for_those_asked_for(tmp_path):
    args = argparse.Namespace(steps=3, rates=(0.1, 0.2), seeds=(0,), output_dir=tmp_path, data_dir=None)
    wanted = kept_results.settings(args, but={"seeds"})
    assert wanted == {"steps": 3, "rates": [0.1, 0.2]}
    path, made = tmp_path / "result.json", []

    def make():
        made.append(1)
        return {"error": 2.5}

    for _ in range(2):
        assert kept_results.read_or_make(path, wanted, make) == {"error": 2.5}
    assert len(made) == 1
    with pytest.raises(reporting.ScriptError, match=r"other arguments; .* Received: steps=4"):
        kept_results.read_or_make(path, {**wanted, "steps": 4}, make)


def test_a_minibatch_is_repeated_and_each_example_seen_as_often():
    x = np.arange(10)
    batches = RepeatedBatches(x[:, np.newaxis], x, batch_size=4, draws=3, seed=0)
    assert len(batches) == 9
    seen = [batches[index][1] for index in range(9)]
    for first in (0, 3, 6):
        np.testing.assert_array_equal(seen[first], seen[first + 1])
        np.testing.assert_array_equal(seen[first], seen[first + 2])
    assert sorted(np.concatenate(seen[::3])) == x.tolist()
    batches.on_epoch_end()
    assert np.concatenate([batches[index][1] for index in (0, 3, 6)]).tolist() != np.concatenate(seen[::3]).tolist()
    factors = schedule_of_minibatches(lambda epoch, batch, num_batches: (epoch, batch, num_batches), 3)
    assert factors(5, 7, 9) == (5, 2, 3)


@on_jax_alone
def test_the_bandit_learns_which_mushrooms_to_eat(tmp_path):
    rng = np.random.default_rng(0)
    odors = rng.choice(list("anpf"), 200)
    rows = [f"{'e' if odor in 'an' else 'p'},{odor},{rng.choice(list('xyz'))}" for odor in odors]
    (tmp_path / "mushroom.csv").write_text("\n".join(["edibility,odor,cap-shape", *rows]) + "\n")
    arguments = ("--data-dir", tmp_path, "--plays", 300, "--updates", 32, "--buffer", 512, "--units", 20)
    played = ("--agents", "bayes", "--seeds", 3, 4, "--learning-rate", 0.003, "--output-dir", tmp_path / "games")
    run_here("bandit", *arguments, *played)
    games = json.loads((tmp_path / "games" / "regret.json").read_text())["games"]
    # To pass always, or to act at random, loses 2.5 or 5 a play.
    last = [game["regret"][-1] - game["regret"][199] for game in games]
    assert max(last) < 0.8 * 100
    for game in games:
        wrong = 15 * np.asarray(game["eaten_poisonous"]) + 5 * np.asarray(game["passed_edible"])
        np.testing.assert_array_equal(game["regret"], wrong)
        assert len(game["regret"]) == 300
    assert {"bayes-seed3.json", "regret.png"} <= {path.name for path in (tmp_path / "games").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--later-updates", -1), "--later-updates must be at least 1. Received: -1"),
        (("--prior-scale", 0), "--prior-scale must be positive. Received: 0.0"),
        (("--buffer", 500), "--buffer must be a multiple of 512. Received: 500"),
    ],
)
def test_a_wrong_argument_of_the_bandit_is_one_line_before_any_play(arguments, message, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bandit.py", *map(str, arguments)])
    with pytest.raises(reporting.ScriptError, match=message):
        bandit.check_arguments(bandit.parse_arguments())


def test_an_agent_whose_training_diverged_does_not_go_on_passing(monkeypatch):
    monkeypatch.setattr("sys.argv", ["bandit.py", "--units", "4"])
    player = bandit.Player(bandit.AGENTS["greedy"], bandit.parse_arguments(), np.eye(2, dtype="float32"), seed=0)
    player._network.layers[-1].bias.assign([np.nan])
    with pytest.raises(reporting.ScriptError, match="finite rewards; its training diverged"):
        player.act(0)


def test_both_heads_expect_the_mean_reward():
    learned = [agents.PROBABILITIES.target(reward) for reward in (-35.0, 0.0, 5.0)]
    assert learned == [0, 1, 2]
    # A poisonous mushroom: -35 or 5 with equal chances; then one passed.
    np.testing.assert_allclose(agents.PROBABILITIES.expected(np.array([[0.5, 0, 0.5], [0, 1, 0]])), [-15, 0])
    half = (agents.MEAN.target(-35.0) + agents.MEAN.target(5.0)) / 2
    np.testing.assert_allclose(agents.MEAN.expected(np.array([[half], [agents.MEAN.target(0.0)]])), [-15, 0])


@on_jax_alone
def test_an_agent_inherits_its_posterior_and_trains_as_often_as_it_is_told(monkeypatch):
    words = "--units 4 --updates 3 --later-updates 2 --batch-size 5 --buffer 512 --prior-from 1024 --first-kl 0.5"
    monkeypatch.setattr("sys.argv", ["bandit.py", *words.split()])
    player = bandit.Player(bandit.AGENTS["bayes"], bandit.parse_arguments(), np.eye(2, dtype="float32"), seed=0)
    layer, trained = bnn.layers.variational_layers(player._network)[0], []
    variables, prior = layer.random_weights["kernel"]

    def learn(mushrooms, actions, rewards):
        trained.append((mushrooms.shape, layer.kl_weight, float(prior.scale[0, 0])))
        variables.assign(0.0, len(trained))  # so that a posterior tells when it was

    monkeypatch.setattr(player, "_learn", learn)
    for _ in range(2048):
        player.learn(0, bandit.EAT, 5.0)
    assert [shape for shape, _, _ in trained] == [(3, 5)] * 511 + [(2, 5)] * 1537
    weights = [weight for _, weight, _ in trained]
    # The posterior after 1,023 plays is the prior from play 1,536 on, one buffer later.
    np.testing.assert_allclose(weights[:1535], 0.5 / np.arange(1, 1536), rtol=1e-6)
    np.testing.assert_allclose(weights[1535:], 1 / 512, rtol=1e-6)
    stddevs = [stddev for _, _, stddev in trained]
    np.testing.assert_allclose(stddevs, [1.0] * 1535 + [1023] * 512 + [1535], rtol=1e-5)


@on_jax_alone
def test_a_greedy_agent_acts_at_random_as_often_as_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bandit.py", "--units", "4"])
    player = bandit.Player(bandit.AGENTS["greedy-5%"], bandit.parse_arguments(), np.eye(2, dtype="float32"), seed=0)
    eats = bnn.Predictive(np.array([[[0.0], [1.0]]]), bnn.likelihoods.Normal(scale=1.0))
    monkeypatch.setattr(bnn, "predict", lambda *args, **kwargs: eats)
    passed = np.mean([player.act(0) == bandit.PASS for _ in range(4000)])
    # Half of the random actions are the other one.
    assert abs(passed - 0.025) < 5 * np.sqrt(0.025 * 0.975 / 4000)


@on_jax_alone
def test_few_images_are_as_many_of_each_class_and_figures_are_written(tmp_path, monkeypatch):
    with_quick_networks(monkeypatch)
    labels = np.random.default_rng(0).integers(10, size=3000)
    chosen = small_data.balanced(labels, 105, seed=1)
    assert len(set(chosen.tolist())) == 105
    assert np.bincount(labels[chosen]).min() == 10
    words = "--dataset mnist_sample --sizes 100 --seeds 0 --steps 60 --learning-rate 0.01 --num-draws 3"
    monkeypatch.setattr("sys.argv", ["small_data.py", *words.split(), "--output-dir", str(tmp_path)])
    small_data.main()
    rows = json.loads((tmp_path / "small_data.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["Bayes by Backprop", "plain", "dropout"]
    assert all(row["error_percent"] < 75 for row in rows)  # chance is 90
    assert (tmp_path / "small_data.png").exists()


def test_only_what_is_asked_for_and_has_no_result_is_run(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(results.Experiment, "run", lambda self, resume: ran.append(self.name))
    monkeypatch.setattr(results.Experiment, "keep", lambda self, directory: None)
    monkeypatch.setattr(results.figures, "draw_all", lambda models, directory: None)
    shutil.copy(results.PAGE, tmp_path)
    monkeypatch.setattr(results, "PAGE", tmp_path / results.PAGE.name)
    for words, expected in (
        (("--only", "regression/"), []),  # it is there
        (("--only", "regression/", "--again"), ["curve"]),
        ((), []),
    ):
        ran.clear()
        monkeypatch.setattr("sys.argv", ["results.py", *words])
        results.main()
        assert ran == expected
    for words, message in ((("--only", "regresion"), "Received: regresion"), (("--again",), "--again needs --only")):
        monkeypatch.setattr("sys.argv", ["results.py", *words])
        with pytest.raises(reporting.ScriptError, match=message):
            results.main()


def test_every_committed_result_is_in_the_page():
    page = results.PAGE.read_text()
    assert results.fill(page) == page
    for path in results.RESULTS.glob("*/*.json"):
        if path.parent.name != "mlp" or path.stem.endswith("-seed0"):
            assert path.name in page, path
