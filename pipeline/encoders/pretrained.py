"""Read an encoder that a finished pretraining wrote, without its heads.

This module imports nothing of the training, so a change of a loss term does not extract any features again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.encoders.r2plus1d import ClipEncoder, build_encoder
from pipeline.encoders.weight_files import read_encoder_weights
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from pipeline.provenance.manifest import read_manifest
from pipeline.training.weights import check_state_dict


@dataclass(frozen=True)
class PretrainedEncoder:
    """An encoder with its weights.

    Attributes:
        encoder: the encoder, on the CPU, in evaluation mode.
        architecture: name in `ENCODERS`.
        clip: geometry of its input.
        weights_sha256: sha256 of the weight file.
    """

    encoder: ClipEncoder
    architecture: str
    clip: ClipGeometry
    weights_sha256: str


def read_encoder(manifest: Path) -> PretrainedEncoder:
    """Read the encoder that a manifest lists.

    Raises:
        PipelineError: a file is absent, damaged, or not of `pipeline.encoders.model.write_model`.
    """
    listed = read_manifest(manifest)
    path = listed.file("config.json")
    description: Any = read_json(path, "encoder description")
    keys = {"pretrain_encoder", "labels", "concepts", "global_dim"}
    if not isinstance(description, dict) or set(description) != keys:
        raise PipelineError(f"{path}: not an encoder description; pretrain the encoder again")
    settings = description["pretrain_encoder"]
    clip = ClipGeometry.parse(settings["clip"], "pretrain_encoder.clip")
    encoder = build_encoder(settings["architecture"])
    weights = read_encoder_weights(listed.file("model.safetensors"))
    check_state_dict(weights.path, weights.encoder, encoder)
    encoder.load_state_dict(weights.encoder)
    sha256 = listed.files["model.safetensors"]["sha256"]
    return PretrainedEncoder(encoder.eval(), settings["architecture"], clip, sha256)
