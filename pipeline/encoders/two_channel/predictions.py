"""What a recognizer says of clips: computed, and kept in two files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pipeline.datasets.caption_tokens import GO, CaptionTokens
from pipeline.encoders.clip_loader import ClipLoader
from pipeline.encoders.sampling import ClipSample
from pipeline.encoders.two_channel.recognizer import Recognizer
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, replace_atomically, write_json
from pipeline.io.progress import Progress
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.training.precision import autocast

SCORES, DESCRIPTION = "predictions.safetensors", "predictions.json"


@dataclass(frozen=True)
class ClipPredictions:
    """What a recognizer says of some clips.

    Attributes:
        videos: ids of the clips.
        classes: names of the classes or groups, by id; empty without a classifier.
        learns_groups: whether the classes are groups.
        captions: kind of the captions, `full` or `simplified`; None without a decoder.
        tokens: vocabulary of the captions; None without a decoder.
        class_log_probs: of each clip; no columns without a classifier.
        caption_ids: token ids of each clip; no columns without a decoder.
    """

    videos: list[str]
    classes: list[str]
    learns_groups: bool
    captions: str | None
    tokens: CaptionTokens | None
    class_log_probs: Float[np.ndarray, "clips classes"]
    caption_ids: Int64[np.ndarray, "clips length"]

    def write(self, manifest: Path, metadata: dict[str, Any]) -> None:
        """Write the two files, and the manifest that lists them.

        Args:
            manifest: the manifest.
            metadata: what it states beside the number of clips.
        """
        scores, description = manifest.parent / SCORES, manifest.parent / DESCRIPTION
        tensors = {
            "class_log_probs": torch.from_numpy(self.class_log_probs),
            "caption_ids": torch.from_numpy(self.caption_ids),
        }
        with replace_atomically(scores) as temporary:
            temporary.write_bytes(save(tensors))
        tokens = None if self.tokens is None else {"words": list(self.tokens.words), "length": self.tokens.length}
        names = {"videos": self.videos, "classes": self.classes, "learns_groups": self.learns_groups}
        write_json(description, {**names, "captions": self.captions, "tokens": tokens})
        write_manifest(manifest, [scores, description], {"clips": len(self.videos), **metadata})

    @classmethod
    def read(cls, manifest: Path) -> "ClipPredictions":
        """Read what `write` wrote.

        Raises:
            PipelineError: a file is absent or damaged.
        """
        listed = read_manifest(manifest)
        data: Any = read_json(listed.file(DESCRIPTION), "predictions")
        path = listed.file(SCORES)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise PipelineError(f"{path}: predictions cannot be read ({error})") from None
        tokens = data["tokens"]
        return cls(
            data["videos"],
            data["classes"],
            data["learns_groups"],
            data["captions"],
            None if tokens is None else CaptionTokens(tuple(tokens["words"]), tokens["length"]),
            tensors["class_log_probs"].numpy(),
            tensors["caption_ids"].numpy(),
        )


@torch.no_grad()
def predict_clips(recognizer: Recognizer, loader: ClipLoader, samples: Sequence[ClipSample]) -> ClipPredictions:
    """Compute the predictions of clips; unreadable clips are left out, and the loader lists them.

    Args:
        recognizer: the network; it is moved to the loader's device.
        loader: loads the clips.
        samples: the clips.
    """
    network, tokens = recognizer.network.to(loader.device), recognizer.tokens
    videos: list[str] = []
    classes = [torch.zeros(0, len(recognizer.classes))]
    captions = [torch.zeros(0, tokens.length if tokens else 0, dtype=torch.int64)]
    batch_size = recognizer.config.batch_size
    progress = Progress("batches", -(-len(samples) // batch_size))
    for batch in loader.batches(list(samples), batch_size):
        progress.step()
        mask = batch.is_readable
        with autocast(loader.device, recognizer.config.precision):
            features = network.encoder(batch.pixels)
            log_probs = network.classifier(features) if network.classifier is not None else None
            generated = _generate(recognizer, features)
        videos += [sample.video for sample, keep in zip(batch.samples, mask.tolist(), strict=True) if keep]
        count = int(mask.sum())
        classes.append(torch.zeros(count, 0) if log_probs is None else log_probs[mask].float().cpu())
        captions.append(torch.zeros(count, 0, dtype=torch.int64) if generated is None else generated[mask].cpu())
    return ClipPredictions(
        videos,
        recognizer.classes,
        recognizer.config.classes == "groups",
        recognizer.config.captions,
        tokens,
        torch.cat(classes).numpy(),
        torch.cat(captions).numpy(),
    )


def _generate(
    recognizer: Recognizer, features: Float[Tensor, "clips frames dim"]
) -> Int64[Tensor, "clips length"] | None:
    """Return the captions of greedy decoding; None without a decoder."""
    if recognizer.network.decoder is None or recognizer.tokens is None:
        return None
    _, tokens = recognizer.network.decoder.generate(features, GO, recognizer.tokens.length)
    return tokens
