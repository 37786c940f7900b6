"""What `benchmarks/gpu.py` measures: training steps on a GPU, and Bayes by Backprop at the paper's width."""
