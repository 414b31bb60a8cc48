"""Weights to start from."""

from pathlib import Path

from torch import nn

from pipeline.encoders.checkpoints import Checkpoint, read_checkpoint
from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.heads import Heads
from pipeline.errors import PipelineError
from pipeline.training.weights import check_fits


def load_initial(path: Path, encoder: ClipEncoder, heads: Heads | None = None) -> Checkpoint:
    """Load given weights into an encoder.

    Args:
        path: the file, as `read_checkpoint` takes it.
        encoder: of the architecture that the file was made for.
        heads: given, those of them that the file has start from it too, and the others stay as they are; otherwise
            the file's heads are left out. Nothing tells which classes a file's rows stand for: their number is
            checked, and their order must be the labels' sorted by name, as in TSP's files.

    Returns:
        what was read.

    Raises:
        PipelineError: absent, damaged, of another architecture or with heads of other sizes (names the first keys
            that differ), or without any of the heads.
    """
    checkpoint = read_checkpoint(path)
    check_fits(path, checkpoint.encoder, encoder)
    encoder.load_state_dict(checkpoint.encoder)
    if heads is not None:
        _load_heads(checkpoint, heads)
    return checkpoint


def _load_heads(checkpoint: Checkpoint, heads: Heads) -> None:
    common = [name for name, _ in heads.named_children() if f"{name}.weight" in checkpoint.heads]
    if not common:
        raise PipelineError(f"{checkpoint.path}: has none of the encoder's heads; set keep_heads: false")
    kept = nn.ModuleDict({name: heads.get_submodule(name) for name in common})
    state = {name: tensor for name, tensor in checkpoint.heads.items() if name.split(".")[0] in common}
    check_fits(checkpoint.path, state, kept)
    kept.load_state_dict(state)
