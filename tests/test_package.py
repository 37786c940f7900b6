"""The package as a whole: what importing it costs, what it exports, and that the examples in its docstrings run."""

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from backend import on_tensorflow_alone

import tfp_bnn as bnn

MODULES = sorted(module.name for module in pkgutil.walk_packages(bnn.__path__, "tfp_bnn."))


def run_python(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_the_import_brings_neither_tfp_nor_plotting_libraries_with_it():
    result = run_python(
        "import sys, keras; before = set(sys.modules); import tfp_bnn;"
        "heavy = {'tensorflow_probability', 'tf_keras', 'seaborn', 'matplotlib', 'mlxtend', 'sklearn'};"
        "print(sorted((set(sys.modules) - before) & heavy))"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_another_backend_gets_one_clear_error():
    result = run_python("import tfp_bnn", KERAS_BACKEND="numpy")
    assert "ImportError: tfp_bnn runs on Keras's backends tensorflow and jax" in result.stderr
    assert "Received: backend='numpy'" in result.stderr


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
