"""The contract that every Bayesian layer keeps, and the test that holds all of them to it."""
