"""What the commands learn from beside the data sets of the package."""
