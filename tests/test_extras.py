"""Packages that are not installed: what needs none of them works, and each call that needs one says what to install."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.on_backends import TENSORFLOW
from tfp_bnn._extras import needed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OTHER_BACKEND = "jax" if TENSORFLOW else "tensorflow"
PACKAGES = ("tensorflow_probability", "tf_keras", "pandas", "sklearn", "matplotlib", "seaborn", "mlxtend")
OPTIONAL = (*PACKAGES, OTHER_BACKEND)

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""

CORE = """
import keras, numpy as np, tfp_bnn as bnn

print({"scipy.optimize", "scipy.special"}.intersection(sys.modules))
prior = bnn.priors.ScaleMixture(trainable=True)
model = bnn.models.mlp((4,), units=(8,), num_outputs=2, prior=prior)
x, y = np.ones((20, 4), "float32"), np.arange(20) % 2
eager = keras.backend.backend() == "tensorflow"
model.compile("adam", loss=bnn.likelihoods.Categorical(), run_eagerly=eager)
callbacks = [bnn.callbacks.KLWeight(), bnn.callbacks.PredictiveMetrics(x, y, num_draws=2)]
model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks)
model.save("model.keras")
loaded = bnn.prune(keras.saving.load_model("model.keras"), sparsity=0.5)
predictive = bnn.predict(loaded, x, num_draws=3)
print(predictive.entropy().shape, predictive.log_prob(y).shape, predictive.decide(cutoff=0.5).shape)
print(bnn.Predictive(np.zeros((3, 5, 1)), bnn.likelihoods.StudentT(scale=1.0)).quantiles((0.5,)).shape)
"""

# What is called without its extra, and the extra that brings it.
CALLS = {
    "bnn.plots": "plots",
    "bnn.sklearn": "sklearn",
    "classes.to_frame()": "data",
    "bnn.metrics.reliability(classes.mean(), [0])": "data",
    "bnn.metrics.accuracy_rejection_curve([0.5], [1])": "data",
    "bnn.metrics.auroc([0.1], [0.2])": "data",
    "bnn.datasets.load('mnist_sample')": "data",
    "classes.distribution()": "tensorflow,tfp" if TENSORFLOW else "tfp",
    "bnn.priors.Normal().distribution()": "tensorflow,tfp" if TENSORFLOW else "tfp",
}

ERRORS = """
import json, numpy as np, tfp_bnn as bnn

classes = bnn.Predictive(np.zeros((2, 1, 3), "float32"), bnn.likelihoods.Categorical())
found = {{}}
for call in {calls!r}:
    try:
        eval(call)
    except ImportError as error:
        found[call] = str(error)
print(json.dumps(found))
"""


def run_without(names, code, directory=None):
    command = [sys.executable, "-c", HIDE.format(names=set(names)) + code]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def without_extras(tmp_path_factory):
    # One process for both programs: the imports take longer than the rest.
    return run_without(OPTIONAL, CORE + ERRORS.format(calls=list(CALLS)), tmp_path_factory.mktemp("core"))


def test_the_core_needs_no_extra(without_extras):
    lines = without_extras.stdout.splitlines()
    assert lines[:3] == ["set()", "(20,) (20,) (20,)", "(1, 5, 1)"], without_extras.stderr


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_extra_is_named(call, without_extras):
    assert without_extras.returncode == 0, without_extras.stderr
    errors = json.loads(without_extras.stdout.splitlines()[-1])
    assert f'pip install "tfp-bnn[{CALLS[call]}]". Received: No module named' in errors[call]


def test_a_missing_backend_is_named():
    result = run_without(("tensorflow", "jax"), "import tfp_bnn")
    error = result.stderr.splitlines()[-1]
    assert "runs on Keras's backends tensorflow and jax" in error
    assert 'Run pip install "tfp-bnn[tensorflow]", or pip install "tfp-bnn[jax]" and set ' in error
    assert "KERAS_BACKEND=jax. Received: No module named" in error


def test_only_missing_modules_are_turned_into_that_error():
    with pytest.raises(ImportError, match="cannot import name 'nothing'"), needed("data"):
        from json import nothing  # noqa: F401


def test_every_extra_that_is_named_exists():
    named = set()
    for path in (ROOT / "tfp_bnn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "needed":
                named.update(extra for name in node.args for extra in name.value.split(","))
    assert named == {"tensorflow", "tfp", "plots", "data", "export", "sklearn"}
    assert EXTRAS["all"] == [f"tfp-bnn[{','.join(sorted({*named, 'jax'}))}]"]


def test_the_requirements_are_the_dependencies_and_the_extras():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    extras = [package for name in ("tensorflow", "tfp", "plots", "data") for package in EXTRAS[name]]
    assert {line for line in lines if not line.startswith("#")} == {*PROJECT["dependencies"], *extras}
