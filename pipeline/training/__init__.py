"""Training shared by all stages: the loop over epochs, checkpoints, several processes, seeds, weights on disk."""
