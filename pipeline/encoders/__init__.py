"""The clip encoders that are trained here: networks, losses, sampling, training, weight files, linear probes."""
