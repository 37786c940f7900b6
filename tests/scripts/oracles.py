"""Predictions whose figures are known beforehand, to stand where a script has those of a trained network."""

import numpy as np

import tfp_bnn as bnn

CATEGORICAL = bnn.likelihoods.Categorical()


def of_classes(*draws):
    """Returns the prediction whose draws have these class probabilities, [n, classes] each."""
    return bnn.Predictive(np.log(np.array(draws, "float64")), CATEGORICAL)


def of_confidence(confidence, classes=2, draws=1):
    """Returns the prediction of class 0 with these probabilities, [n]; the other classes share the rest."""
    others = (1 - np.asarray(confidence, "float64")) / (classes - 1)
    probabilities = np.stack([confidence, *[others] * (classes - 1)], axis=-1)
    return of_classes(*[probabilities] * draws)


def truthful(size, seed, most=4.0):
    """Returns a prediction of two classes that is calibrated, and labels drawn from it; class 0 is the likelier one."""
    rng = np.random.default_rng(seed)
    confidence = 1 / (1 + np.exp(-rng.uniform(0, most, size)))
    return of_confidence(confidence), (rng.random(size) > confidence).astype("int32")


def images(size, tag=0.0):
    """Returns images [size, 28, 28, 1] whose first pixel is the tag, so that it can be told whose they are."""
    pixels = np.zeros((size, 28, 28, 1), "float32")
    pixels[:, 0, 0] = tag
    return pixels


TRAINING, VALIDATION, TEST = 0.25, 0.5, 0.75


def tagged_dataset(train, validation, test, labels=None):
    """Returns a data set whose images are tagged with what they are for; labels by the tag, 0 where none are given."""
    labels = labels or {}
    sizes = {TRAINING: train, VALIDATION: validation, TEST: test}
    y = {tag: labels.get(tag, np.zeros(size, "int32")) for tag, size in sizes.items()}
    x = {tag: images(size, tag) for tag, size in sizes.items()}
    return bnn.datasets.Dataset(
        "made",
        "a test",
        np.concatenate([x[TRAINING], x[VALIDATION]]),
        np.concatenate([y[TRAINING], y[VALIDATION]]),
        x[TEST],
        y[TEST],
        tuple("0123456789"),
    )


def tag_of(pixels):
    """Returns the tag of images that have one and the same."""
    (tag,) = np.unique(pixels[:, 0, 0])
    return float(tag)
