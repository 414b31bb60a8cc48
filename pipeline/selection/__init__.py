"""The ensemble: one caption for each proposal, of those that several captioners gave it."""
