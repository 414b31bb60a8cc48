"""The pretraining model, an encoder with its heads, and its files (`pipeline.encoders.pretrained` reads them)."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.losses import Heads, NumLabels, build_loss_terms
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.io.atomic import write_json
from pipeline.training.weights import save_weights


class PretrainingModel(nn.Module):
    """An encoder and its heads.

    Args:
        config: architecture of the encoder, and terms of the loss.
        num_labels: numbers of classes.
        global_dim: channels of the global video feature that heads may see; 0 without one.
    """

    def __init__(self, config: EncoderEntry, num_labels: NumLabels, global_dim: int = 0) -> None:
        super().__init__()
        self.encoder = build_encoder(config.architecture, config.bn_momentum)
        self.loss_terms = build_loss_terms(config, num_labels)
        self.heads = Heads(self.loss_terms, self.encoder.dim, global_dim)

    def forward(
        self,
        clips: Float[Tensor, "batch 3 frames height width"],
        global_features: Float[Tensor, "batch global"] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the logits of every head from normalised clips and the global features of their videos."""
        logits: dict[str, Tensor] = self.heads(self.encoder(clips), global_features)
        return logits


def write_model(
    folder: Path, model: PretrainingModel, config: EncoderEntry, *, labels: list[str], concepts: list[str]
) -> list[Path]:
    """Write `model.safetensors` and `config.json`.

    Args:
        folder: folder of the files.
        model: encoder and heads.
        config: settings of the pretraining.
        labels: action classes, in the order of their logits.
        concepts: concepts, in the order of their logits.

    Returns:
        the files.
    """
    weights, description = folder / "model.safetensors", folder / "config.json"
    save_weights(weights, model)
    sizes = {"labels": labels, "concepts": concepts, "global_dim": model.heads.global_dim}
    write_json(description, {"pretrain_encoder": config.model_dump(mode="json"), **sizes})
    return [weights, description]
