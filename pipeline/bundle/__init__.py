"""A trained model in a folder that can be moved and sent: written, read, and applied to any video."""
