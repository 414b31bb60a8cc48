"""Clip encoders, their pretraining heads and losses."""
