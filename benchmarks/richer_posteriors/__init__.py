"""Posteriors beside the mean field, for `posteriors.py`; none of them is in the package."""
