"""The page docs/results, made of what the commands left there: its tables and its figures."""
