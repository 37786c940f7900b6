"""What the scripts leave behind when they are killed or interrupted, and what they say when something fails."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts.common import reporting
from tests.scripts.script_runs import TRAIN, TRAIN_SMALL_NETWORK, command, run_here, with_quick_networks
from tests.support.on_backends import UNCOMPILED, on_tensorflow_alone

STEPS_PER_EPOCH = 31  # of `TRAIN`
KILLED_RUN = (*TRAIN, "--max-steps", 3 * STEPS_PER_EPOCH - 10)  # the last epoch is partial

needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def killed_when(when, *arguments):
    """Runs a training that is killed as soon as `when()` is true; returns it with its standard error."""
    with subprocess.Popen(
        command(TRAIN_SMALL_NETWORK, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 300
        while not when() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        _, errors = process.communicate(timeout=300)
    return process, errors


def stop_of(script, *arguments):
    """Runs a script that ends before it is done, in this process; returns what it exits with."""
    with pytest.raises(SystemExit) as stop:
        run_here(script, *arguments)
    return stop.value.code


def epochs_in(directory):
    header, *rows = (directory / "history.csv").read_text().split()
    assert header.startswith("epoch,")
    return [int(row.split(",")[0]) for row in rows]


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The output directory of a training that was killed in the middle of its second epoch."""
    directory = tmp_path_factory.mktemp("killed")
    picture = directory / "heldout_00040.png"
    arguments = (*KILLED_RUN, "--viz-every", 40, "--output-dir", directory)
    process, errors = killed_when(picture.exists, *arguments)
    assert process.returncode == -signal.SIGKILL, errors
    assert epochs_in(directory) == [0]
    return directory


@pytest.fixture
def killed_copy(killed, tmp_path):
    return shutil.copytree(killed, tmp_path / "run")


def resuming(directory, *arguments):
    return (*KILLED_RUN, "--viz-every", 1000, "--output-dir", directory, "--resume", *arguments)


@on_tensorflow_alone
@needs_posix
def test_a_killed_training_goes_on_and_ends_where_it_should(killed_copy, monkeypatch):
    # As if it had been killed between the row of an epoch and its backup.
    with (killed_copy / "history.csv").open("a") as history:
        history.write("1" + ",0.5" * 8 + "\n")
    with_quick_networks(monkeypatch)
    run_here("train_lenet5", *resuming(killed_copy))
    report = json.loads((killed_copy / "metrics.json").read_text())
    assert report["finished"]
    assert report["steps"] == 3 * STEPS_PER_EPOCH - 10
    assert epochs_in(killed_copy) == [0, 1, 2]
    assert int(keras.saving.load_model(killed_copy / "model.keras").optimizer.iterations) == report["steps"]


@contextlib.contextmanager
def files_of_at_most(size):
    """A process whose files cannot grow beyond a size: what a full disk is to who writes them."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@on_tensorflow_alone
@needs_posix
def test_a_full_disk_gets_one_clear_error_and_leaves_the_last_model(killed_copy, monkeypatch):
    before = contents(killed_copy)
    with_quick_networks(monkeypatch)
    # The model is larger, the history smaller.
    with files_of_at_most(50 * 1024):
        error = stop_of("train_lenet5", *resuming(killed_copy))
    assert error.startswith("error: ")
    assert "model.keras cannot be written, and is left as it was: File too large" in error
    assert "\n" not in error
    after = contents(killed_copy)
    assert epochs_in(killed_copy) == [0, 1]
    history = (killed_copy / "history.csv").relative_to(killed_copy)
    assert after | {history: None} == before | {history: None}
    assert keras.saving.load_model(killed_copy / "model.keras").built


@on_tensorflow_alone
@needs_posix
def test_a_diverged_training_gets_one_clear_error_and_leaves_the_last_model(killed_copy, monkeypatch):
    before = contents(killed_copy)
    with_quick_networks(monkeypatch)
    error = stop_of("train_lenet5", *resuming(killed_copy, "--learning-rate", "1e30"))
    assert error.startswith("error: The loss is not a finite number")
    assert "\n" not in error
    for part in ("lower learning rate", "epoch 2"):
        assert part in error
    assert contents(killed_copy) == before
    model = keras.saving.load_model(killed_copy / "model.keras")
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_weights_that_diverged_do_not_replace_a_good_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), bnn.layers.DenseFlipout(1)])
    reporting.save_model(model, tmp_path)
    before = contents(tmp_path)
    model.trainable_variables[0].assign([[1.0], [float("nan")]])
    with pytest.raises(reporting.ScriptError, match=r"finite weights.* Received: nan or inf in .*kernel"):
        reporting.save_model(model, tmp_path)
    assert contents(tmp_path) == before


@on_tensorflow_alone
@needs_posix
def test_interrupted_training_leaves_a_usable_model(tmp_path, monkeypatch):
    history, ended = tmp_path / "history.csv", threading.Event()

    def interrupt_in_second_epoch():
        deadline = time.monotonic() + 300
        while not (history.exists() and history.stat().st_size) and time.monotonic() < deadline:
            if ended.wait(0.05):
                return
        os.kill(os.getpid(), signal.SIGINT)

    with_quick_networks(monkeypatch)
    arguments = (*TRAIN, "--max-steps", 10**6, "--viz-every", 10**6, "--output-dir", tmp_path)
    threading.Thread(target=interrupt_in_second_epoch).start()
    try:
        run_here("train_lenet5", *arguments)
    finally:
        ended.set()
    assert (tmp_path / "model.keras").is_file()
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert not report["finished"]
    assert report["steps"] >= STEPS_PER_EPOCH


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("train_lenet5", ("--data-dir", "nowhere", "--dataset", "mnist")),
        ("plot_uncertainty", (__file__, "--data-dir", "nowhere", "--dataset", "mnist")),
        ("regression", ()),
    ],
)
def test_an_unwritable_output_directory_is_noticed_before_any_work(script, arguments, tmp_path):
    directory = tmp_path / "file" / "runs"
    directory.parent.touch()
    assert stop_of(script, *arguments, "--output-dir", directory) == (
        f"error: --output-dir must be a directory that can be written to. Received: {directory} (Not a directory)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--learn-prior",), "--learn-prior needs --prior scale-mixture"),
        (("--num-draws", "0"), "--num-draws must be at least 1. Received: 0"),
        (("--num-validation", "0"), "--num-validation must be at least 1. Received: 0"),
        (("--epochs", "-1"), "--epochs must be at least 1. Received: -1"),
        (("--learning-rate", "-0.001"), "--learning-rate must be positive. Received: -0.001"),
        (("--initial-stddev", "0"), "--initial-stddev must be positive. Received: 0.0"),
        (("--cutoff", "1.5"), "--cutoff must be between 0 and 1. Received: 1.5"),
        (("--dataset", "mnist", "--data-dir", "nowhere"), "nowhere"),
    ],
)
def test_wrong_arguments_get_one_clear_error(arguments, message, tmp_path):
    error = stop_of("train_lenet5", *arguments, "--output-dir", tmp_path)
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize("script", ["train_lenet5", "train_mlp"])
def test_a_run_is_not_overwritten(script, tmp_path):
    (tmp_path / "model.keras").touch()
    error = stop_of(script, *TRAIN, "--output-dir", tmp_path)
    assert error.startswith("error: ")
    assert "holds a run already" in error
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_an_argument_that_is_no_choice_is_named(tmp_path, capsys):
    assert stop_of("train_lenet5", "--estimator", "dropout", "--output-dir", tmp_path) == 2
    assert "invalid choice: 'dropout'" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["train_lenet5", "plot_uncertainty", "regression"])
def test_every_script_says_what_it_does(script, capsys):
    assert stop_of(script, "--help") == 0
    help_text = capsys.readouterr().out
    assert "OUTPUT_DIR" in help_text
    assert "--seed" in help_text


class Interrupted(Exception):
    pass


N, BATCH, EPOCHS = 48, 16, 4


class Training:
    """A small training that is backed up, and what it met."""

    def __init__(self, backup):
        keras.utils.set_random_seed(3)
        self.kl_weights, self.steps = [], []
        self.model = keras.Sequential(
            [keras.Input((4,)), bnn.layers.DenseFlipout(5, "relu", seed=1), bnn.layers.DenseFlipout(3, seed=2)]
        )
        self.model.compile(keras.optimizers.Adam(0.01), loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
        self.callbacks = [
            bnn.callbacks.KLWeight(num_examples=N, warmup_epochs=3),
            keras.callbacks.BackupAndRestore(backup),
            bnn.callbacks.EverySteps(1, self._note),
        ]

    def _note(self, step):
        self.steps.append(step)
        self.kl_weights.append(self.model.layers[0].kl_weight * N)

    def fit(self, *callbacks):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(N, 4)).astype("float32"), rng.integers(0, 3, N)
        callbacks = [*self.callbacks, *callbacks]
        self.model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)


# A warm-up, of which each epoch needs to know how many there were before.
def test_a_resumed_training_ends_as_the_uninterrupted_one(tmp_path):
    def interrupt(step):
        if step == 8:  # the second one of the third epoch
            raise Interrupted

    whole = Training(tmp_path / "whole")
    whole.fit()
    with pytest.raises(Interrupted):
        Training(tmp_path / "backup").fit(bnn.callbacks.EverySteps(1, interrupt))
    resumed = Training(tmp_path / "backup")
    resumed.fit()
    assert whole.steps == list(range(1, 13))
    assert resumed.steps == whole.steps[6:]
    np.testing.assert_allclose(resumed.kl_weights, whole.kl_weights[6:], rtol=1e-6)
    for ours, theirs in zip(whole.model.optimizer.variables, resumed.model.optimizer.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-7)
    for ours, theirs in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
