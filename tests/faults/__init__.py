"""Faults that are planted in copies of the package, to see whether the tests find them."""
