"""The rules, and what they need around the stages."""

import pipeline  # noqa: F401  # so that an error of a registry is one line here too
