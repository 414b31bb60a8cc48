"""Event proposals, and the proposers: networks that learn to make them."""
