"""The commands in benchmarks/, and what they share."""
