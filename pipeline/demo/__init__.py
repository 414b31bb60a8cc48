"""A miniature ActivityNet, drawn and encoded on the spot."""
