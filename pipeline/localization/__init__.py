"""Event proposals: ground truth, given, and learned."""
