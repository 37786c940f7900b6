"""The package as a whole: what importing it costs, what it exports, and that the examples in its docstrings run."""

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_tensorflow_alone
from tfp_bnn import _backend

MODULES = sorted(module.name for module in pkgutil.walk_packages(bnn.__path__, "tfp_bnn."))


def run_python(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_the_import_takes_little_of_what_keras_takes_and_needs_no_library_that_is_slow_to_import():
    # A fiftieth, and several times that where nothing is compiled to bytecode yet. Others use the machine too.
    assert any(seconds_of_import_to_those_of_keras() < 0.25 for _ in range(3))


def seconds_of_import_to_those_of_keras():
    # Keras brings some of the slow libraries where they are installed; here it finds none, nor would the package.
    result = run_python(
        "import sys, time;"
        "heavy = ['tensorflow_probability', 'tf_keras', 'seaborn', 'matplotlib', 'mlxtend', 'sklearn', 'pandas',"
        "'scipy.optimize', 'scipy.stats'];"
        "sys.modules.update(dict.fromkeys(heavy));"
        "start = time.process_time(); import keras; middle = time.process_time(); import tfp_bnn;"
        "print((time.process_time() - middle) / (middle - start))"
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


@on_tensorflow_alone
def test_another_backend_gets_one_clear_error():
    result = run_python("import tfp_bnn", KERAS_BACKEND="numpy")
    assert "ImportError: tfp_bnn runs on Keras's backends tensorflow and jax" in result.stderr
    assert "Received: backend='numpy'" in result.stderr


def test_an_editable_install_is_a_path_and_no_import_hook():
    # A hook stands behind the path's own finder, which finds a namespace package in a checkout named tfp_bnn.
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["tool"]["distutils"]["editable_wheel"]["mode"] == "compat"


@pytest.mark.parametrize(("value", "number"), [("true", 1), ("True", 1), ("1", 1), ("0", 0), ("", 0), (None, 0)])
def test_legacy_keras_is_warned_of_where_tensorflow_uses_it(value, number, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _backend.warn_of_legacy_keras()
    assert len(caught) == number * TENSORFLOW  # no `tf.keras` beside JAX


@pytest.fixture(scope="module")
def imported_late(tmp_path_factory):
    """The lines of a program that loads a model before it imports the package, where TensorFlow uses legacy Keras.

    One process for both: TensorFlow takes longer to import than the rest.
    """
    path = str(tmp_path_factory.mktemp("late") / "model.keras")
    keras.Sequential([keras.Input((2,)), bnn.layers.DenseFlipout(1)]).save(path)
    result = run_python(
        f"""
import keras, warnings
try:
    keras.saving.load_model({path!r})
except TypeError as error:
    print(str(error).replace(chr(10), " "))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import tfp_bnn
print(type(keras.saving.load_model({path!r}).layers[0]).__name__)
ours = [w for w in caught if "TF_USE_LEGACY_KERAS" in str(w.message)]
print(len(ours), ours[0].category.__name__, ours[0].filename, ours[0].message)
""",
        TF_USE_LEGACY_KERAS="1",
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 3, result.stdout + result.stderr
    return lines


@on_tensorflow_alone
def test_a_saved_model_asks_for_the_import_of_the_package(imported_late):
    # Keras imports no package to load a class, so README says it. Should it do so one day, README may leave it out.
    without, loaded, _ = imported_late
    assert "Could not locate class 'DenseFlipout'" in without
    assert "tfp_bnn" in without
    assert loaded == "DenseFlipout"


@on_tensorflow_alone
def test_legacy_keras_gets_one_warning_that_says_what_to_do(imported_late):
    warning = imported_late[-1]
    assert warning.startswith("1 UserWarning <string> ")
    assert "Build models with `import keras`, not `tf.keras`, or unset the variable." in warning


def test_all_that_is_exported_is_there():
    for name in bnn.__all__:
        assert getattr(bnn, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = bnn.nothing


@on_tensorflow_alone
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    names = {**vars(module), "keras": keras, "np": np, "bnn": bnn}
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert failed == 0
