"""Event proposals: ground truth and learned."""
