"""Event proposals and the localizers that learn to make them."""
