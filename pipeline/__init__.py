"""Dense video captioning by semantic-aware pretraining: one module per stage, one package per topic."""

import sys

from pipeline.errors import print_uncaught

if sys.argv[:1] == ["-m"]:  # `python -m pipeline.<stage>` imports this package first
    sys.excepthook = print_uncaught
