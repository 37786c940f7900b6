"""Fixtures of all tests: quiet TensorFlow, the same random numbers in each test, and how thorough they are."""

import os

from tests.support import xla_flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", xla_flags.quick_to_compile())
# As many workers as cores run at once; more threads are in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--thorough",
        action="store_true",
        help="twenty times the draws, each check on each geometry, more random examples",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "jax_if_thorough: on JAX only with --thorough, where it shows little new")
    # What hands tests to workers runs none, and need not import what they do.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        from tests.contract import layer_contract

        layer_contract.set_thorough(config.getoption("--thorough"))


def pytest_collection_modifyitems(config, items):
    import keras

    if keras.backend.backend() != "jax" or config.getoption("--thorough"):
        return
    for item in items:
        if item.get_closest_marker("jax_if_thorough"):
            item.add_marker(pytest.mark.skip(reason="on JAX only with --thorough"))


@pytest.fixture(autouse=True)
def _same_random_numbers():
    import keras

    keras.utils.set_random_seed(20_151)
