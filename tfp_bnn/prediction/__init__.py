"""Prediction: networks drawn from a model, what they say together, and what to decide from it."""
