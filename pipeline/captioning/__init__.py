"""Event captioners: text, model, decoding, self-critical loss."""
