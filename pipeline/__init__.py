"""Dense video captioning by semantic-aware pretraining: one module per stage, nouns in sub-packages."""
