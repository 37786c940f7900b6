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


def test_the_import_needs_neither_tfp_nor_plotting_nor_other_libraries_that_are_slow_to_import():
    # Keras brings some of them where they are installed; here it finds none, nor would the package.
    result = run_python(
        "import sys; heavy = ['tensorflow_probability', 'tf_keras', 'seaborn', 'matplotlib', 'mlxtend', 'sklearn',"
        "'pandas', 'scipy.optimize', 'scipy.stats'];"
        "sys.modules.update(dict.fromkeys(heavy)); import tfp_bnn; print('imported')"
    )
    assert result.stdout.strip() == "imported", result.stderr


def test_the_import_takes_little_of_what_that_of_keras_takes():
    result = run_python(
        "import time; start = time.process_time(); import keras; middle = time.process_time(); import tfp_bnn;"
        "print((time.process_time() - middle) / (middle - start))"
    )
    # A fiftieth, and several times that where nothing is compiled to bytecode yet.
    assert float(result.stdout) < 0.25, result.stderr


def test_another_backend_gets_one_clear_error():
    result = run_python("import tfp_bnn", KERAS_BACKEND="numpy")
    assert "ImportError: tfp_bnn runs on Keras's backends tensorflow and jax" in result.stderr
    assert "Received: backend='numpy'" in result.stderr


def test_an_editable_install_is_a_path_and_no_import_hook():
    # A hook stands behind the path's own finder, which finds a namespace package in a checkout named tfp_bnn.
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["tool"]["distutils"]["editable_wheel"]["mode"] == "compat"


@on_tensorflow_alone
def test_legacy_keras_gets_one_warning_that_says_what_to_do():
    result = run_python(
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import tfp_bnn\n"
        "ours = [w for w in caught if 'TF_USE_LEGACY_KERAS' in str(w.message)]\n"
        "print(len(ours), ours[0].category.__name__, ours[0].filename, ours[0].message)",
        TF_USE_LEGACY_KERAS="1",
    )
    assert result.stdout.startswith("1 UserWarning <string> "), result.stdout + result.stderr
    assert "Build models with `import keras`, not `tf.keras`, or unset the variable." in result.stdout


@pytest.mark.parametrize(("value", "number"), [("true", 1), ("True", 1), ("1", 1), ("0", 0), ("", 0), (None, 0)])
def test_legacy_keras_is_warned_of_where_tensorflow_uses_it(value, number, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _backend.warn_of_legacy_keras()
    assert len(caught) == number * TENSORFLOW  # no `tf.keras` beside JAX


@on_tensorflow_alone
def test_a_saved_model_asks_for_the_import_of_the_package(tmp_path):
    path = str(tmp_path / "model.keras")
    keras.Sequential([keras.Input((2,)), bnn.layers.DenseFlipout(1)]).save(path)
    # Keras imports no package to load a class, so README says it. Should it do so one day, README may leave it out.
    result = run_python(
        f"""
import keras
try:
    keras.saving.load_model({path!r})
except TypeError as error:
    print(str(error).replace(chr(10), " "))
import tfp_bnn
print(type(keras.saving.load_model({path!r}).layers[0]).__name__)
"""
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result.stderr
    without, loaded = lines
    assert "Could not locate class 'DenseFlipout'" in without
    assert "tfp_bnn" in without
    assert loaded == "DenseFlipout"


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
