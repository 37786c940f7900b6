"""The programs of docs/uncertainty.md run as they stand there, and what they say comes true."""

import re
from pathlib import Path

import numpy as np

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

PAGE = (Path(__file__).parents[2] / "docs" / "uncertainty.md").read_text()
DECISION, HEAD = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_from_data_to_a_decision():
    names: dict = {}
    exec(DECISION, names)
    answers, labels = names["answers"], names["data"].y_test
    answered = answers >= 0
    assert answered.mean() > 0.5
    # 2 % and three standard errors of the share among 1,000 test digits.
    assert (answers != labels)[answered].mean() < 0.02 + 3 * np.sqrt(0.02 * 0.98 / answered.sum())
    everything = names["test"].mean().argmax(axis=-1)
    assert (everything != labels).mean() > (answers != labels)[answered].mean()
    known, unknown = names["test"].mutual_information(), names["noise"].mutual_information()
    assert bnn.metrics.auroc(known, unknown) > 0.9


def test_a_head_predicts_its_scale():
    names: dict = {"bnn": bnn}
    exec(HEAD, names)
    model = names["model"]
    x, y = np.random.default_rng(0).normal(size=(2, 64, 3)).astype("float32")
    model.fit(x, y[:, :1], verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=64)])
    predictive = bnn.predict(model, x, num_draws=5, verbose=False)
    assert predictive.aleatoric_stddev().shape == (64, 1)
