"""Golden numbers of the clip captioners: weights drawn by name, inputs, and the names of weights (../shared/golden)."""

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.clip.captioner import ClipCaptioner
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.config.captioners import CAPTIONERS
from pipeline.io.atomic import read_json

STREAMS = {"a": 6, "m": 10, "i": 8}
NUM_EVENTS, NUM_ROWS, VOCABULARY, POSITIONS, NUM_ATTRIBUTES = 3, 5, 20, 12, 60
PAD, BOS, EOS, MASK, VISUAL = 0, 2, 3, 4, 5
"""Special ids of the published code."""
RENAMED = (
    (r"^encoder\.streams\.(\w)\.linear\.", r"encoder.Encoder_\1.0."),
    (r"^encoder\.streams\.(\w)\.transform\.", r"encoder.Encoder_\1.1.w1."),
    (r"^encoder\.streams\.(\w)\.gate\.", r"encoder.Encoder_\1.1.w2."),
    (r"^encoder\.streams\.(\w)\.norm\.", r"encoder.Encoder_\1.NORM."),
    (r"^attributes\.heads\.visual\.", "predictor.nets.0.prj.0."),
    (r"^attributes\.heads\.text\.", "predictor.nets.0.prj.1."),
    (r"^attributes\.word_positions\.position_embedding\.", "decoder.TPP.PE."),
    (r"^attributes\.word_positions\.norm\.", "decoder.TPP.LN."),
    (r"^lengths\.hidden\.", "predictor.nets.0.net.0."),
    (r"^lengths\.output\.", "predictor.nets.0.net.3."),
    (r"^decoder\.word_embedding\.", "decoder.embedding.word_embeddings."),
    (r"^decoder\.position_embedding\.", "decoder.embedding.position_embeddings."),
    (r"^decoder\.embedding_norm\.", "decoder.embedding.LayerNorm."),
    (r"\.self_attention\.(query|key|value)\.", r".intra_attention.SDPA.\1."),
    (r"\.cross_attention\.(query|key|value)\.", r".inter_attention.SDPA.\1."),
    (r"\.self_attention\.output\.", ".intra_attention.dense."),
    (r"\.cross_attention\.output\.", ".inter_attention.dense."),
    (r"\.self_attention\.norm\.", ".intra_attention.LayerNorm."),
    (r"\.cross_attention\.norm\.", ".inter_attention.LayerNorm."),
    (r"\.feedforward\.0\.", ".ffn.dense1."),
    (r"\.feedforward\.2\.", ".ffn.dense2."),
    (r"\.feedforward_norm\.", ".ffn.LayerNorm."),
    (r"^decoder\.attention_lstm\.", "decoder.bottom_rnn."),
    (r"^decoder\.language_lstm\.", "decoder.top_rnn."),
    (r"^decoder\.query\.", "decoder.att.linear1_h."),
    (r"^decoder\.key\.", "decoder.att.linear1_f.0."),
    (r"^decoder\.energy\.", "decoder.att.linear2."),
    (r"^output\.", "cls_head.tgt_word_prj."),
)
"""Names of our weights -> those of the published code."""


def read_golden(shared: Path, name: str) -> Any:
    """Read a file of `golden/clip_captioning`."""
    return read_json(shared / "golden" / "clip_captioning" / f"{name}.json")


def published_name(name: str, architecture: str) -> str:
    """Return the published name of a weight."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    name = re.sub(r"Encoder_(\w)\.", lambda match: f"Encoder_{match[1].upper()}.", name)
    highway = architecture in ("arb", "nacf")
    name = name.replace(".NORM.", ".2.bn." if highway else ".1.")
    if architecture == "nacf":
        name = re.sub(r"^decoder\.", "decoder.net.", name).replace("predictor.nets.0.prj", "predictor.nets.1.prj")
    return name


def draw_weight(name: str, shape: torch.Size, recipe: str, prefix: str = "") -> Tensor:
    """Draw a weight as the README of the golden files says."""
    draw = np.random.RandomState(zlib.crc32((prefix + name).encode())).standard_normal(tuple(shape))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        return torch.from_numpy(np.abs(0.05 * draw) + 0.5).float()
    scale, offset = 0.05, 0.0
    if recipe in ("strong", "sharp"):
        if len(shape) >= 2:
            scale = 0.6 if recipe == "sharp" else 0.2
        elif re.search(r"(LayerNorm|LN|bn|Encoder_\w\.1)\.weight$", name):
            offset = 1.0
        elif re.search(r"predictor\.nets\.\d\.prj\.\d\.bias$", name):
            offset = -4.0
    return torch.from_numpy(offset + scale * draw).float()


def fill_weights(captioner: ClipCaptioner, recipe: str, prefix: str = "") -> ClipCaptioner:
    """Set the weights of a captioner as the golden files say; the embedding of PAD is 0."""
    architecture = captioner.settings.architecture
    state = {}
    for name, value in captioner.state_dict().items():
        if name.startswith(("feature_norms.", "teacher.")):
            state[name] = value
            continue
        published = published_name(name, architecture)
        state[name] = draw_weight(published, value.shape, recipe, prefix)
        if published.endswith(("word_embeddings.weight", "decoder.embedding.weight")):
            state[name][PAD] = 0.0
    captioner.load_state_dict(state)
    return captioner.eval()


def small_captioner(architecture: str, recipe: str, *, attributes: bool = False, prefix: str = "") -> ClipCaptioner:
    """Return the small captioner of the golden files, in evaluation mode."""
    spec = CAPTIONERS[architecture]
    heads = {} if architecture == "topdown" else {"heads": 4, "feedforward": 32}
    block = {"attributes": {"count": NUM_ATTRIBUTES}} if attributes else {}
    settings = spec.settings.model_validate({"hidden": 16, **heads, **block})
    sizes = CaptionerSizes(STREAMS, VOCABULARY, POSITIONS - 2, NUM_ATTRIBUTES if attributes else 0)
    return fill_weights(spec.load()(sizes, settings), recipe, prefix)


def clip_batch(streams: dict[str, int] = STREAMS, num_events: int = NUM_EVENTS, num_rows: int = NUM_ROWS) -> EventBatch:
    """Return the clips of the golden files."""
    draw = np.random.RandomState(0)
    rows = torch.tensor([[0, num_rows]] * num_events)
    inputs = {
        name: BatchStream(
            torch.from_numpy(draw.standard_normal((num_events, num_rows, dim)).astype(np.float32)), rows[:, 1], rows
        )
        for name, dim in streams.items()
    }
    return EventBatch(inputs, torch.arange(num_events), torch.tensor([[0.0, 1.0, 1.0]] * num_events))


def pad_captions(captions: list[list[int]], length: int) -> tuple[Tensor, Tensor]:
    """Return what the published captioners read before each token, and the tokens; PAD behind, EOS last where cut."""
    cut = [one if len(one) <= length else [*one[: length - 1], EOS] for one in captions]
    padded = torch.tensor([one + [PAD] * (length - len(one)) for one in cut])
    return padded[:, :-1], padded[:, 1:]


def attribute_labels() -> Tensor:
    """Return the attribute labels of the small golden files."""
    draw = np.random.RandomState(1).rand(NUM_EVENTS, NUM_ATTRIBUTES)
    return torch.from_numpy((draw < 0.1).astype(np.float32))


def assert_gradients(captioner: ClipCaptioner, expected: dict[str, float]) -> None:
    """Compare the sum of the gradient's magnitude of each weight, to 1e-4 of the largest."""
    architecture = captioner.settings.architecture
    sums = {
        published_name(name, architecture): 0.0 if weight.grad is None else weight.grad.abs().sum().item()
        for name, weight in captioner.named_parameters()
    }
    assert sums.keys() == expected.keys()
    largest = max(expected.values())
    for name, value in expected.items():
        assert abs(sums[name] - value) <= 1e-4 * largest + 1e-4 * value, name


def assert_recorded(values: Tensor, recorded: dict[str, Any], atol: float = 1e-5, rtol: float = 1e-5) -> None:
    """Compare a tensor with a recorded one: its shape, its recorded entries and its mean."""
    flat = values.detach().double().flatten()
    assert list(values.shape) == recorded["shape"]
    entries = flat[recorded["flat_index"]] if "flat_index" in recorded else flat
    expected = torch.tensor(recorded["values"], dtype=torch.float64).flatten()
    torch.testing.assert_close(entries, expected, atol=atol, rtol=rtol)
    assert abs(flat.mean().item() - recorded["mean"]) <= atol + rtol * abs(recorded["mean"])
