"""Whole recipes for `train_mlp.py`: its arguments, by the name of the preset. Chosen on validation images."""

import math
from typing import Any

_GLUON = {"method": "bayes", "units": 400, "layers": 2, "epochs": 10, "batch_size": 128, "lr_schedule": "cosine"}
_BLUNDELL = {
    "method": "bayes",
    "units": 400,
    "layers": 2,
    "epochs": 100,
    "batch_size": 128,
    "pixel_divisor": 126.0,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "lr_schedule": "cosine",
    # Fit first, then pay for it: with the whole KL term from the start too many weights go before they are of use.
    "kl_schedule": "warmup",
    "warmup_epochs": 60,
    "initial_stddev": 0.01,
}

PRESETS: dict[str, dict[str, Any]] = {
    # The two notebooks train for 10 epochs: one with a normal prior by SGD, the other with a mixture by Adam.
    "gluon-gaussian": {
        **_GLUON,
        "prior": "normal",
        "sigma_1": 1.0,
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "initial_stddev": 0.02,
    },
    "gluon-mixture": {
        **_GLUON,
        "prior": "scale-mixture",
        "sigma_1": 0.75,
        "sigma_2": 0.1,
        "pi": 0.25,
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "kl_schedule": "warmup",
        "warmup_epochs": 5,
        "initial_stddev": 0.02,
    },
    "blundell-gaussian": {**_BLUNDELL, "prior": "normal", "sigma_1": 1.0},
    "blundell-mixture": {
        **_BLUNDELL,
        "prior": "scale-mixture",
        "sigma_1": 1.0,
        "sigma_2": math.exp(-5),
        "pi": 0.25,
    },
    # Beside them, as in the paper's table 1.
    "plain-sgd": {**_BLUNDELL, "method": "sgd", "optimizer": "sgd", "learning_rate": 0.1},
    "plain-dropout": {**_BLUNDELL, "method": "dropout"},
}
