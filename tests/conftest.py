"""Fixtures of all tests: quiet TensorFlow, and the same random numbers in each test."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest


@pytest.fixture(autouse=True)
def _same_random_numbers():
    keras.utils.set_random_seed(20_151)
