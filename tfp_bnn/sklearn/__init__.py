"""Bayesian networks for tables as scikit-learn's estimators: in pipelines, in cross-validation, in searches.

They are `tfp_bnn.models.tabular`, which standardizes inputs and targets and knows how to train itself.
"""

from tfp_bnn.sklearn.classifier import BayesianClassifier
from tfp_bnn.sklearn.regressor import BayesianRegressor

__all__ = ["BayesianClassifier", "BayesianRegressor"]
