"""Trains a small plain transformer, makes all of it Bayesian, trains it on, and compares the two.

It reads sentences that are made: "the film was not very good" is bad, as "not" turns an adjective round. One label in
ten is wrong. Beside the Bayesian network stands the plain one, trained on as long. OUTPUT_DIR then holds
reliability.png, model.keras and metrics.json.
"""

import argparse
from typing import Any

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import examples, reporting
from scripts.common.reporting import log
from scripts.data import made_sentences
from scripts.data.made_sentences import KNOWN, LENGTH, WORDS, tokens

WRONG_LABELS = 0.1
WIDTH = 16


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    return examples.parse(examples.make_parser(__doc__, "transformer", epochs=20, learning_rate=0.01), quick_epochs=6)


@keras.saving.register_keras_serializable("tfp_bnn.scripts")
class WithPositions(keras.layers.Layer):
    """Adds a vector to each position: a layer of our own, which is made Bayesian like any other."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the vectors."""
        self.positions = self.add_weight(shape=input_shape[1:], initializer="random_normal", name="positions")

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the sum."""
        return inputs + self.positions


def make_model() -> keras.Model:
    """Returns a plain transformer of one block, not compiled."""
    layers = keras.layers
    words = keras.Input((LENGTH,), dtype="int32", name="words")
    x = WithPositions(name="positions")(layers.Embedding(len(WORDS), WIDTH, mask_zero=True, name="table")(words))
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=WIDTH // 2, name="attention")(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    hidden = layers.Dense(WIDTH, name="out")(layers.Dense(2 * WIDTH, activation="relu", name="hidden")(x))
    x = layers.LayerNormalization()(layers.Add()([x, hidden]))
    logits = layers.Dense(2, name="logits")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(words, logits, name="transformer")


def make_data(number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns sentences, as tokens, and labels, some of them wrong."""
    texts, labels = made_sentences.make(number, KNOWN, rng)
    return tokens(texts), made_sentences.with_wrong_labels(labels, WRONG_LABELS, rng)


def main() -> None:
    """Trains the networks, predicts, and writes everything down."""
    args = parse_arguments()
    devices = examples.start(args)
    rng = np.random.default_rng(args.seed)
    x, y = make_data(1000 if args.quick else 2000, rng)
    x_test, y_test = make_data(2000, rng)
    plain = make_model()
    log.info("training the plain transformer on %d sentences", len(x))
    examples.train(plain, x, y, bnn.likelihoods.Categorical(), args)
    networks = {"plain": plain, "plain, trained on": examples.copy_of(plain)}
    networks["Bayesian, trained on"] = bayesian = bnn.to_bayesian(plain, prior=bnn.priors.Normal(scale=0.3))
    for name in ("plain, trained on", "Bayesian, trained on"):
        log.info("%s, from the plain one's weights", name)
        examples.train(networks[name], x, y, bnn.likelihoods.Categorical(), args)
    log.info("wrote %s", reporting.save_model(bayesian, args.output_dir))
    predictives = {name: examples.predict(network, x_test, args) for name, network in networks.items()}
    reporting.save_figure(bnn.plots.reliability(predictives, y_test), args.output_dir, "reliability")
    rows = {name: examples.quality(predictive, y_test) for name, predictive in predictives.items()}
    shares = np.array([WRONG_LABELS, 1 - WRONG_LABELS])
    rows["who knows the rule"] = {"accuracy": float(shares[1]), "nll": -float(shares @ np.log(shares)), "ece": 0.0}
    layers = [layer.name for layer in bnn.layers.variational_layers(bayesian)]
    examples.finish(args, devices, f"{len(x_test)} sentences, one label in ten wrong", rows, bayesian_layers=layers)


if __name__ == "__main__":
    reporting.exit_on_error(main)
