"""What the tests of the estimators share."""

import pytest

from tests.support.on_backends import UNCOMPILED
from tfp_bnn.models.tabular import Tabular


@pytest.fixture
def uncompiled(monkeypatch):
    """Has networks trained step by step: what takes a step or two is done before it is compiled."""
    compile_with_defaults = Tabular._compile_with_defaults

    def compile_step_by_step(model, *args):
        compile_with_defaults(model, *args)
        model.run_eagerly, model.steps_per_execution = UNCOMPILED["run_eagerly"], 1

    monkeypatch.setattr(Tabular, "_compile_with_defaults", compile_step_by_step)
