"""The programs of docs/exporting.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import numpy as np

from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_run_and_what_they_say_comes_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for program in PROGRAMS:
        exec(program, names)
    predictive = names["predictive"]
    for found in (names["of_onnx"], names["of_litert"], names["of_tensorflow"]):
        np.testing.assert_allclose(found["probabilities"], predictive.mean(), atol=1e-5)
        np.testing.assert_allclose(found["mutual_information"], predictive.mutual_information(), atol=1e-5)
        np.testing.assert_array_equal(found["decision"], predictive.decide(cutoff=0.8))
    np.testing.assert_allclose(names["again"], predictive.mean(), atol=1e-5)
