"""Classifies sentences by a Bayesian Embedding and LSTM, and shows that words never read before raise the doubt.

The sentences are made: "the film was not very good" is bad, as "not" turns an adjective round. One label in twenty of
the training is wrong. OUTPUT_DIR then holds entropy.png, model.keras and metrics.json.
"""

import argparse

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import examples, reporting
from scripts.common.reporting import log
from scripts.data import made_sentences
from scripts.data.made_sentences import KNOWN, LENGTH, NEW, WORDS, tokens

WRONG_LABELS = 0.05


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    return examples.parse(
        examples.make_parser(__doc__, "classify_text", epochs=20, learning_rate=0.01), quick_epochs=12
    )


def make_model() -> keras.Model:
    """Returns the Bayesian network, not compiled."""
    prior = bnn.priors.Normal(scale=1.0)
    # Words that start alike take long to be told apart.
    apart = keras.initializers.RandomNormal(stddev=0.5)
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            bnn.layers.Embedding(len(WORDS), 8, apart, mask_zero=True, prior=prior),
            bnn.layers.LSTM(16, prior=prior),
            bnn.layers.Dense(2, prior=prior),
        ]
    )


def figures(predictive: bnn.Predictive, labels: np.ndarray) -> dict[str, float]:
    """Returns accuracy, and how unsure the network is: means in nats."""
    return {
        "accuracy": float((predictive.mean().argmax(axis=-1) == labels).mean()),
        "entropy": float(predictive.entropy().mean()),
        "mutual information": float(predictive.mutual_information().mean()),
    }


def show(text: str, predictive: bnn.Predictive) -> None:
    """Logs what the draws say of the first sentence."""
    good = predictive.draws[:, 0, 1]
    low, high = np.quantile(good, (0.05, 0.95))
    log.info("%r is good with probability %.2f; nine draws in ten say %.2f to %.2f", text, good.mean(), low, high)


def main() -> None:
    """Makes sentences, trains, predicts, and writes everything down."""
    args = parse_arguments()
    devices = examples.start(args)
    rng = np.random.default_rng(args.seed)
    texts, labels = made_sentences.make(1500 if args.quick else 3000, KNOWN, rng)
    log.info("training on %d sentences, such as %r", len(texts), texts[0])
    model = make_model()
    labels = made_sentences.with_wrong_labels(labels, WRONG_LABELS, rng)
    examples.train(model, tokens(texts), labels, bnn.likelihoods.Categorical(), args)
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    rows, predictives = {}, []
    for name, adjectives in (("words read before", KNOWN), ("words never read", NEW)):
        texts, labels = made_sentences.make(500, adjectives, rng)
        predictives.append(examples.predict(model, tokens(texts), args))
        rows[name] = figures(predictives[-1], labels)
        show(texts[0], predictives[-1])
    known, new = predictives
    picture = bnn.plots.entropy_histograms(known, {"words never read": new})
    reporting.save_figure(picture, args.output_dir, "entropy")
    auroc = bnn.metrics.auroc(known.mutual_information(), new.mutual_information())
    examples.finish(args, devices, "500 sentences, by the words in them", rows, auroc=auroc)
    log.info("mutual information tells new words from those read before with an AUROC of %.3f", auroc)


if __name__ == "__main__":
    reporting.exit_on_error(main)
