"""Made sentences with a known rule: an adjective says whether they are good or bad, and "not" turns it round."""

from collections.abc import Sequence

import numpy as np

THINGS = ("film", "book", "meal", "hotel", "song", "game", "play", "room", "coat", "view")
STARTS, VERBS, ADVERBS = ("the", "this", "my"), ("was", "seemed", "looked"), ("very", "rather", "quite")
GOOD = ("good", "great", "lovely", "superb", "fine", "pleasant", "brilliant", "charming")
BAD = ("bad", "awful", "ugly", "dull", "poor", "nasty", "boring", "dreadful")
KNOWN = GOOD + BAD
# For sentences to come, in none of the training.
NEW_GOOD, NEW_BAD = ("glorious", "delightful"), ("ghastly", "dismal")
NEW = NEW_GOOD + NEW_BAD
# Token 0 stands where a sentence has ended.
WORDS = ("", *STARTS, *THINGS, *VERBS, *ADVERBS, "not", *KNOWN, *NEW)
TOKENS = {word: token for token, word in enumerate(WORDS)}
LENGTH = 6


def make(number: int, adjectives: Sequence[str], rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Returns sentences with these adjectives, and whether each is good: labels 0 and 1, [n]."""
    texts, labels = [], []
    for _ in range(number):
        adjective, negated = str(rng.choice(adjectives)), rng.random() < 0.5
        words = [rng.choice(STARTS), rng.choice(THINGS), rng.choice(VERBS)]
        words += ["not"] * negated + [rng.choice(ADVERBS)] * (rng.random() < 0.5) + [adjective]
        texts.append(" ".join(words))
        labels.append((adjective in GOOD + NEW_GOOD) != negated)
    return texts, np.array(labels, "int32")


def with_wrong_labels(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the labels, about this share of them turned round."""
    return np.where(rng.random(len(labels)) < share, 1 - labels, labels).astype("int32")


def tokens(texts: Sequence[str]) -> np.ndarray:
    """Returns the numbers of the words, [n, LENGTH]."""
    rows = [[TOKENS[word] for word in text.split()] for text in texts]
    return np.array([row + [0] * (LENGTH - len(row)) for row in rows], "int32")
