"""The estimators give what is known of data that were made, and are used as those of scikit-learn are."""

import inspect
import io
import pickle
import random

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

RNG = np.random.default_rng(0)
X = RNG.uniform([0, -10], [100, 10], size=(300, 2))
SIGNAL = 1e4 + 50 * X[:, 0] - 80 * X[:, 1]
NOISE = 300.0
Y = SIGNAL + RNG.normal(scale=NOISE, size=300)
P_YES = 1 / (1 + np.exp(-0.08 * (X[:, 0] - 40)))
LABELS = np.where(RNG.uniform(size=300) < P_YES, "yes", "no")
BRIEF = {"steps": 1, "units": (), "num_draws": 3, "random_state": 0}


@pytest.fixture(scope="module")
def regressor():
    return bnn.sklearn.BayesianRegressor(steps=500, units=(10,), random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def classifier():
    return bnn.sklearn.BayesianClassifier(steps=500, units=(10,), random_state=0).fit(X, LABELS)


def test_the_regressor_finds_signal_and_noise(regressor):
    mean, stddev = regressor.predict(X, return_std=True)
    assert mean.shape == stddev.shape == (300,)
    # Of about 20 weights and 300 rows an error of a quarter of the noise; the signal's standard deviation is 1,500.
    assert np.sqrt(np.square(mean - SIGNAL).mean()) < 0.6 * NOISE
    assert np.median(stddev) == pytest.approx(NOISE, rel=0.25)
    assert regressor.score(X, Y) > 0.94  # that of the signal is 1 - 300^2 / 1,570^2 = 0.96
    low, high = regressor.predict_interval(X, level=0.9).T
    assert 0.84 < ((low <= Y) & (high >= Y)).mean() < 0.97
    predictive = regressor.predictive(X)
    np.testing.assert_allclose(mean, predictive.mean()[:, 0], rtol=1e-6)
    np.testing.assert_allclose(stddev, predictive.stddev()[:, 0], rtol=1e-6)
    probabilities = (0.05, 0.5, 0.95)
    expected = predictive[:5].quantiles(probabilities)[..., 0].T  # by bisection, which ends when all rows are found
    np.testing.assert_allclose(regressor.predict_quantiles(X[:5], probabilities), expected, rtol=1e-6)
    assert regressor.n_iter_ == 510  # 10 rounds of 17 passes, 3 steps each
    assert {"nll", "kl"} <= regressor.history_.keys()


def test_the_probabilities_of_the_classifier_are_those_of_the_data(classifier):
    assert classifier.classes_.tolist() == ["no", "yes"]
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities, classifier.predictive(X).mean(), rtol=1e-5)
    # The standard error of a logistic regression of 300 rows is 0.03 on average.
    assert np.abs(probabilities[:, 1] - P_YES).mean() < 0.08
    assert (classifier.predict(X) == np.where(probabilities[:, 1] > 0.5, "yes", "no")).all()
    assert classifier.score(X, LABELS) > 0.75


@on_tensorflow_alone
def test_copies_and_files_predict_the_same(regressor):
    expected = regressor.predict(X)
    joblib.dump(regressor, file := io.BytesIO())
    file.seek(0)
    for copy in (regressor, pickle.loads(pickle.dumps(regressor)), joblib.load(file)):
        np.testing.assert_array_equal(copy.predict(X), expected)


@on_tensorflow_alone
def test_the_seed_says_what_is_predicted_and_nothing_else_is_disturbed(regressor):
    random.seed(1)
    first, second = random.random(), random.random()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  (the global generator, which other code may take)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert random.random() == first
    again = clone(regressor).fit(X, Y)
    assert random.random() == second
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))


@on_tensorflow_alone
@pytest.mark.usefixtures("uncompiled")
def test_another_seed_gives_other_predictions():
    means = [
        bnn.sklearn.BayesianRegressor(**{**BRIEF, "random_state": state}).fit(X, Y).predict(X)
        for state in (0, 1, np.random.RandomState(2), None)
    ]
    assert len({mean[0] for mean in means}) == 4


@on_tensorflow_alone
@pytest.mark.usefixtures("uncompiled")
def test_weights_count_rows():
    def fitted(rows, weights=None):
        return bnn.sklearn.BayesianRegressor(**BRIEF).fit(X[rows], Y[rows], sample_weight=weights)

    one, three = fitted(slice(100)), fitted(slice(100), np.full(100, 3.0))
    # The likelihood of three rows for one, the KL term of one network.
    assert three.history_["nll"][0] == pytest.approx(3 * one.history_["nll"][0], rel=1e-5)
    assert three.history_["kl"] == one.history_["kl"]
    assert three.model_.head.kl_weight == pytest.approx(1 / 100)
    without = fitted(slice(50))
    np.testing.assert_array_equal(fitted(slice(100), np.repeat([1.0, 0.0], 50)).predict(X), without.predict(X))


@on_tensorflow_alone
def test_rows_of_classes_go_into_the_training_with_their_weights(monkeypatch):
    trained = {}

    def train(self, x, labels, weights, num_classes):
        trained.update(x=x, labels=labels, weights=weights, num_classes=num_classes)

    monkeypatch.setattr(bnn.sklearn.BayesianClassifier, "_train", train)
    weights = np.arange(300) % 3
    bnn.sklearn.BayesianClassifier().fit(X, LABELS, sample_weight=weights)
    np.testing.assert_array_equal(trained["weights"], weights[weights > 0])
    np.testing.assert_allclose(trained["x"], X[weights > 0], rtol=1e-6)
    np.testing.assert_array_equal(trained["labels"], (LABELS == "yes")[weights > 0])
    assert trained["num_classes"] == 2


@on_tensorflow_alone
@pytest.mark.usefixtures("uncompiled")
def test_several_targets():
    both = np.stack([Y, 0.01 * Y], axis=1)
    model = bnn.sklearn.BayesianRegressor(**BRIEF).fit(X, both)
    mean, stddev = model.predict(X[:7], return_std=True)
    assert mean.shape == stddev.shape == (7, 2)
    # After one step a network says the mean and the standard deviation of each target, in its units.
    np.testing.assert_allclose(mean.mean(axis=0), both.mean(axis=0), atol=both.std(axis=0).max(), rtol=0.1)
    assert 30 < (stddev[:, 0] / stddev[:, 1]).mean() < 300
    interval = model.predict_interval(X[:7])
    assert interval.shape == (7, 2, 2)
    assert (interval[..., 0] < interval[..., 1]).all()


@on_tensorflow_alone
@pytest.mark.usefixtures("uncompiled")
def test_pipelines_with_missing_values_and_categories_and_searches():
    table = pd.DataFrame({"size": X[:, 0], "age": X[:, 1], "kind": np.where(X[:, 1] > 0, "new", "old")})
    table.loc[::7, "age"] = np.nan
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["kind"]),
        (SimpleImputer(add_indicator=True), ["size", "age"]),
    )
    pipeline = make_pipeline(columns, bnn.sklearn.BayesianRegressor(**BRIEF))
    assert np.isfinite(cross_val_score(pipeline, table, Y, cv=2)).all()
    # Two kinds, two numbers, and where one of them is missing.
    assert pipeline.fit(table, Y)[-1].n_features_in_ == 5
    search = GridSearchCV(bnn.sklearn.BayesianRegressor(**BRIEF), {"noise": ["normal", "laplace"]}, cv=2)
    best = search.fit(table[["size"]], Y).best_estimator_
    assert best.feature_names_in_.tolist() == ["size"]
    assert best.model_.likelihood.standardized.__class__.__name__.lower() == best.noise


@on_tensorflow_alone
@pytest.mark.usefixtures("uncompiled")
def test_a_prior_that_is_given_stays_as_it_is():
    prior = bnn.priors.ScaleMixture(sigma_1=2.0, trainable=True)
    model = bnn.sklearn.BayesianRegressor(**{**BRIEF, "learning_rate": 0.5}, prior=prior).fit(X, Y)
    assert float(prior.sigma_1) == pytest.approx(2.0)
    assert float(model.model_.head.prior.sigma_1) != pytest.approx(2.0)


@on_tensorflow_alone
@pytest.mark.parametrize("name", ["BayesianRegressor", "BayesianClassifier"])
def test_arguments_and_their_defaults_are_those_of_the_network(name):
    own = inspect.signature(getattr(bnn.sklearn, name)).parameters
    of_network = inspect.signature(bnn.models.tabular).parameters
    shared = own.keys() & of_network.keys()
    assert shared == of_network.keys() - {"num_features", "num_targets", "num_classes"} - ({"noise"} - own.keys())
    assert {key: own[key].default for key in shared} == {key: of_network[key].default for key in shared}


@on_tensorflow_alone
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("arguments", "weights", "message"),
    [
        ({"steps": 0}, None, "`steps` must be a positive integer. Received: steps=0"),
        ({"num_draws": 0}, None, "`num_draws` must be a positive integer. Received: num_draws=0"),
        ({"batch_size": 0}, None, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"learning_rate": 0.0}, None, "`learning_rate` must be positive.* Received: learning_rate=0.0"),
        ({"noise": "cauchy"}, None, "`noise` must be one of 'normal', .*Received: noise='cauchy'"),
        ({}, np.full(300, -1.0), "must not be negative.*Received: weights between -1.0 and -1.0"),
        ({}, np.zeros(300), "must not be zero for all rows.*Received: weights between 0.0 and 0.0"),
        ({}, np.ones(2), r"must have shape \(300,\)\. Received: shape \(2,\)"),
    ],
)
def test_wrong_arguments_get_one_clear_error(arguments, weights, message):
    model = bnn.sklearn.BayesianRegressor(**{**BRIEF, **arguments})
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, sample_weight=weights)


@on_tensorflow_alone
def test_wrong_data_get_one_clear_error(regressor, classifier):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        regressor.predict(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="X has 3 features, but BayesianClassifier is expecting 2"):
        classifier.predict(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`level` must be between 0 and 1. Received: level=90"):
        regressor.predict_interval(X, level=90)
    with pytest.raises(ValueError, match=r"rows of two classes at least.* Received: one class, yes"):
        clone(classifier).fit(X, np.full(300, "yes"))
