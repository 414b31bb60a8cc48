"""What is trained, an encoder under its heads, and how it stands on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.architectures import build
from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.heads import Heads, Logits
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.manifest import read_manifest
from pipeline.training.weights import load_weights, save_weights


class PretrainingModel(nn.Module):
    """An encoder and its heads.

    Args:
        config: architecture, and which heads there are.
        actions: number of action classes.
        concepts: number of concepts; 0 leaves their head out.
        global_dim: channels of the global video feature that the region head sees; 0 for none.
    """

    def __init__(self, config: PretrainEncoder, actions: int, concepts: int, global_dim: int = 0) -> None:
        super().__init__()
        self.encoder = build(config.architecture, config.bn_momentum)
        self.heads = Heads(
            self.encoder.dim,
            actions if config.action > 0 else 0,
            region=config.alpha > 0,
            concepts=concepts if config.beta > 0 else 0,
            global_dim=global_dim,
        )

    def forward(
        self,
        clips: Float[Tensor, "batch 3 frames height width"],
        global_features: Float[Tensor, "batch global"] | None = None,
    ) -> Logits:
        """Logits of every head for normalised clips, and the global features of their videos."""
        logits: Logits = self.heads(self.encoder(clips), global_features)
        return logits


@dataclass(frozen=True)
class Pretrained:
    """An encoder as a finished pretraining left it.

    Attributes:
        encoder: with its weights, on the CPU, in evaluation mode.
        config: what it was trained with; its `clip` is what the encoder must be given.
        weights_sha256: of the weight file.
    """

    encoder: ClipEncoder
    config: PretrainEncoder
    weights_sha256: str


def write_model(
    folder: Path, model: PretrainingModel, config: PretrainEncoder, *, labels: list[str], concepts: list[str]
) -> list[Path]:
    """Write `model.safetensors` and `config.json`.

    Args:
        folder: where.
        model: encoder and heads.
        config: what it was trained with.
        labels: action classes, in the order of their logits.
        concepts: likewise.

    Returns:
        the files.
    """
    weights, description = folder / "model.safetensors", folder / "config.json"
    save_weights(weights, model)
    known = {"labels": labels, "concepts": concepts, "global_dim": model.heads.global_dim}
    write_json(description, {"pretrain_encoder": config.model_dump(mode="json"), **known})
    return [weights, description]


def read_encoder(manifest: Path) -> Pretrained:
    """Read the encoder that a manifest vouches for.

    Raises:
        PipelineError: a file is absent, damaged, or not what `write_model` writes.
    """
    listed = read_manifest(manifest)
    path = listed.payload("config.json")
    described: Any = read_json(path, "encoder description")
    if not isinstance(described, dict) or set(described) != {"pretrain_encoder", "labels", "concepts", "global_dim"}:
        raise PipelineError(f"{path}: not an encoder description; pretrain the encoder again")
    config = PretrainEncoder.parse(described["pretrain_encoder"], "pretrain_encoder")
    model = PretrainingModel(config, len(described["labels"]), len(described["concepts"]), described["global_dim"])
    load_weights(listed.payload("model.safetensors"), model)
    return Pretrained(model.encoder.eval(), config, listed.payloads["model.safetensors"]["sha256"])
