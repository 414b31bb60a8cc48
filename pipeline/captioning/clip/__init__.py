"""Captioners of clips: one encoder for all streams, and decoders with and without order."""
