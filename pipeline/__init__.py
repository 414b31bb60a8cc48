"""Dense video captioning by semantic-aware pretraining: one module per stage, one package per topic."""

import os
import sys

from pipeline.errors import print_uncaught
from pipeline.threads import set_thread_defaults

set_thread_defaults(os.environ)
if sys.argv[:1] == ["-m"]:  # `python -m pipeline.<stage>` imports this package first
    sys.excepthook = print_uncaught
