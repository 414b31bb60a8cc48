"""Run the stage `pretrain_encoder` with deterministic algorithms only; gpu.py runs this file."""

import sys

from pipeline.pretrain_encoder import main

import torch

if __name__ == "__main__":
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    sys.exit(main())
