"""Models made of models: plain, pruned, copied."""
