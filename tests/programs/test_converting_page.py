"""The programs of docs/converting.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "converting.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_run_and_what_they_say_comes_true(capsys):
    names: dict = {}
    three_lines, penalty, sequences, later = PROGRAMS
    exec(three_lines.replace("epochs=10", "epochs=2"), names)
    right = (names["predictive"].mean().argmax(axis=-1) == names["y"]).mean()
    assert right > 0.8
    assert "still prior" in (printed := capsys.readouterr().out)
    assert "Diagnosis" in printed
    assert not bnn.layers.variational_layers(names["point"])
    exec(later, names)
    exec(penalty, names)
    assert names["model"].layers[0].prior.scale == pytest.approx(0.3125)
    exec(sequences, names)
    assert names["text"](np.ones((2, 5), "int32")).shape == (2, 2)
