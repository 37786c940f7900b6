"""
Title: Bayesian neural networks with Keras 3
Author: the authors of tfp_bnn
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Predict the quality of wines, and say how sure each prediction is.
Accelerator: None
"""

"""
## Introduction

A plain network gives one number for a wine. It does not say whether it has seen many wines like
that one, or none, and not how much tasters differ about it. These are two kinds of doubt:

- **Epistemic** doubt is the network's own: it has seen too little. More data take it away.
- **Aleatoric** doubt lies in the data: the same measurements, and yet another grade. More data do
  not help.

A *Bayesian* network learns a distribution for each weight instead of a number. From these
distributions we draw many networks. Where they disagree, the doubt is epistemic. What each of them
says about the noise is aleatoric.

We train three networks on the red wines of the Wine Quality data set: a plain one, a Bayesian one,
and a Bayesian one that predicts the noise too. The package is `tfp_bnn`, Bayesian layers for Keras
3.
"""

"""
## Setup
"""

import keras
import numpy as np
import pandas as pd

import tfp_bnn as bnn

keras.utils.set_random_seed(0)

"""
## The data

1,599 red wines with 11 measurements each, and the median grade that at least three tasters gave,
from 0 to 10. A fifth of the wines is held out.
"""

URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/winequality-red.csv"
wines = pd.read_csv(keras.utils.get_file("winequality-red.csv", URL), sep=";").sample(frac=1.0, random_state=0)
grades = wines.pop("quality").to_numpy("float32").reshape(-1, 1)
measurements = wines.to_numpy("float32")

num_test = len(grades) // 5
x_test, y_test = measurements[:num_test], grades[:num_test]
x_train, y_train = measurements[num_test:], grades[num_test:]
print(f"{len(x_train)} wines to learn from, {len(x_test)} held out")

"""
Inputs need a common scale. Targets do too: the weights start near 0, and so does what the network
says.
"""

normalization = keras.layers.Normalization()
normalization.adapt(x_train)
mean, stddev = y_train.mean(), y_train.std()


def to_grades(standardized):
    return mean + stddev * standardized


def root_mean_squared_error(predicted):
    return float(np.sqrt(np.mean((predicted - y_test) ** 2)))


"""
## A plain network

Two hidden layers of 16 units, the mean squared error.
"""

plain = keras.Sequential(
    [
        keras.Input((11,)),
        normalization,
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1),
    ]
)
plain.compile(keras.optimizers.Adam(0.001), loss="mse")
plain.fit(x_train, (y_train - mean) / stddev, batch_size=64, epochs=60, verbose=0)
error = root_mean_squared_error(to_grades(plain.predict(x_test, verbose=0)))
print(f"plain: off by {error:.2f} grades")

"""
It is off by some 0.6 grades. For the next wine, that is all it can say.

## A Bayesian network: what do more data change?

Replace each `Dense` by a Bayesian one. `DenseVariational` draws its weights in each step. Its
*prior* is what we believe of the weights before we see data. Here it is a mixture of a wide and a
narrow normal distribution. All layers share it, and training learns its widths.

The loss has two halves:

- The **likelihood**, here a normal distribution around the prediction. Its scale of 0.8 standard
  deviations is our guess of how far tasters differ.
- The **KL term**: how far the learned distributions are from the prior. The callback `KLWeight`
  divides it by the number of wines, so that it counts less the more there are.
"""


def make_bayesian(num_outputs):
    prior = bnn.priors.ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.5, trainable=True)
    return keras.Sequential(
        [
            keras.Input((11,)),
            normalization,
            bnn.layers.DenseVariational(16, activation="relu", prior=prior),
            bnn.layers.DenseVariational(16, activation="relu", prior=prior),
            bnn.layers.DenseVariational(num_outputs, prior=prior),
        ]
    )


def fit(model, x, y, likelihood):
    model.compile(keras.optimizers.Adam(0.01), loss=likelihood)
    kl_weight = bnn.callbacks.KLWeight(num_examples=len(x), warmup_steps=1000)
    steps = -(-len(x) // 64)
    model.fit(x, (y - mean) / stddev, batch_size=64, epochs=2000 // steps, verbose=0, callbacks=[kl_weight])


"""
We train it twice: on 100 wines, and on all. `bnn.predict` draws 100 networks from the posterior and
runs all wines through each.
"""

predictives = {}
for number in (100, len(x_train)):
    bayesian = make_bayesian(num_outputs=1)
    fit(bayesian, x_train[:number], y_train[:number], bnn.likelihoods.Normal(scale=0.8))
    predictive = bnn.predict(bayesian, x_test, num_draws=100, verbose=False)
    predictives[number] = predictive
    error = root_mean_squared_error(to_grades(predictive.mean()))
    doubt = float(stddev * predictive.epistemic_stddev().mean())
    print(f"{number} wines: off by {error:.2f} grades, epistemic doubt {doubt:.2f}")

"""
With more wines the epistemic doubt falls, and so does the error.

## A network that predicts the noise too

The scale of 0.8 was a guess, and the same for all wines. A second output lets the network say it,
wine by wine: `Normal()` without a scale takes a location and a scale from the outputs.
"""

model = make_bayesian(num_outputs=2)
fit(model, x_train, y_train, bnn.likelihoods.Normal())
predictive = bnn.predict(model, x_test, num_draws=100, verbose=False)

epistemic = stddev * predictive.epistemic_stddev()
aleatoric = stddev * predictive.aleatoric_stddev()
table = pd.DataFrame(
    {
        "grade": y_test[:, 0],
        "prediction": to_grades(predictive.mean())[:, 0],
        "epistemic": epistemic[:, 0],
        "aleatoric": aleatoric[:, 0],
    }
)
print(table.head().round(2))
print(f"mean doubt: epistemic {epistemic.mean():.2f}, aleatoric {aleatoric.mean():.2f} grades")

"""
Nearly all doubt is aleatoric: from these measurements the grade cannot be told better, however many
wines we buy. That is worth knowing before we buy them.

## Do the intervals hold?

A 90 % interval should hold the grade of nine wines out of ten. We ask for the 5 % and 95 %
quantiles of the predictive distribution, which has both kinds of doubt, and count.
"""

low, high = (to_grades(each) for each in predictive.quantiles((0.05, 0.95)))
print(f"{100 * bnn.metrics.coverage(y_test, low, high):.0f} % of the grades lie in their 90 % interval")

"""
## What to take away

- Replace `Dense` by a Bayesian layer, give a likelihood as the loss, add `KLWeight`: `fit` does the
  rest.
- `predictive.epistemic_stddev()` says what more data would change, `predictive.aleatoric_stddev()`
  what they would not.
- Check intervals on data that the network has not seen.

Source of the method: Blundell et al. 2015, "Weight Uncertainty in Neural Networks". Source of the
data: Cortez et al. 2009, "Modeling wine preferences by data mining from physicochemical
properties".
"""
