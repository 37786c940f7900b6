"""Arithmetic that knows nothing of networks: random numbers and special functions, in `keras.ops`."""
