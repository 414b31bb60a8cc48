"""The synthetic demo dataset: plans of videos, their frames and sound, and annotations in ActivityNet's formats."""
