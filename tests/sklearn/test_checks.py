"""scikit-learn's own checks of estimators."""

import functools

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

# Networks without a hidden layer, of few steps: what is checked is the contract. Those of training ask for a good fit.
ARGUMENTS = {"units": (), "num_draws": 3}
BRIEF, TRAINED = {"steps": 1, **ARGUMENTS}, {"steps": 15, "learning_rate": 0.3, **ARGUMENTS}
ESTIMATORS = bnn.sklearn.BayesianRegressor, bnn.sklearn.BayesianClassifier
EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": "equal in expectation alone: batches and noise are drawn by rows"
}


def name_of(check):
    return getattr(check, "func", check).__name__


def checks_of(make):
    brief, trained = make(**BRIEF), make(**TRAINED)
    for estimator, kind in ((brief, False), (trained, True)):
        for given, check in estimator_checks_generator(estimator, legacy=True):
            if ("_train" in name_of(check)) == kind:
                yield given, check


def is_repeated(estimator, check):
    """Returns whether a check, or nearly it, runs on another estimator or other arrays too."""
    of_memory_maps = isinstance(check, functools.partial) and bool(check.keywords)
    # Those of what a classifier does otherwise than a regressor.
    is_general = not any(word in name_of(check) for word in ("classifier", "decision", "unfitted", "invariance"))
    return of_memory_maps or (is_general and isinstance(estimator, bnn.sklearn.BayesianClassifier))


CASES = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{name_of(check)}-{index}")
    for make in ESTIMATORS
    for index, (estimator, check) in enumerate(checks_of(make))
]


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("estimator", "check"), CASES)
def test_the_checks_of_scikit_learn_pass(estimator, check, request):
    if is_repeated(estimator, check) and not request.config.getoption("--thorough"):
        pytest.skip("a check like this runs; this one only with --thorough")
    if reason := EXPECTED_TO_FAIL.get(name_of(check)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    check(estimator)
