"""The tests. Folders are named as those of the package; beside them stand whole programs, scripts and benchmarks."""
