"""Networks and inputs of BMT's golden file: weights drawn by their published names, features with padding of ones."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from helpers.gtad_goldens import read_golden
from pipeline.bimodal.encoder import length_mask
from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.bmt.captioner import BmtCaptioner
from pipeline.config.captioners import BmtSettings

RENAMED = (
    (r"^embedding\.", "emb_C.embedder."),
    (r"^output\.", "generator.linear."),
    (r"^encoder\.layers\.", "encoder.encoder_AV.layers."),
    (r"^decoder\.layers\.", "decoder.decoder.layers."),
    (r"\.audio\.self_attention\.", ".self_att_M1."),
    (r"\.visual\.self_attention\.", ".self_att_M2."),
    (r"\.audio\.cross_attention\.", ".bi_modal_att_M1."),
    (r"\.visual\.cross_attention\.", ".bi_modal_att_M2."),
    (r"\.audio\.feed_forward\.", ".feed_forward_M1."),
    (r"\.visual\.feed_forward\.", ".feed_forward_M2."),
    (r"\.audio\.self_norm\.", ".res_layers_M1.0.norm."),
    (r"\.audio\.cross_norm\.", ".res_layers_M1.1.norm."),
    (r"\.audio\.feed_forward_norm\.", ".res_layers_M1.2.norm."),
    (r"\.visual\.self_norm\.", ".res_layers_M2.0.norm."),
    (r"\.visual\.cross_norm\.", ".res_layers_M2.1.norm."),
    (r"\.visual\.feed_forward_norm\.", ".res_layers_M2.2.norm."),
    (r"\.self_attention\.", ".self_att."),
    (r"\.stream_attention\.audio\.", ".enc_att_A."),
    (r"\.stream_attention\.visual\.", ".enc_att_V."),
    (r"\.self_norm\.", ".res_layer_self_att.norm."),
    (r"\.stream_norms\.audio\.", ".res_layer_enc_att_A.norm."),
    (r"\.stream_norms\.visual\.", ".res_layer_enc_att_V.norm."),
    (r"(decoder\.layers\.\d+)\.feed_forward_norm\.", r"\1.res_layer_ff.norm."),
    (r"\.bridge\.0\.", ".bridge.norm."),
    (r"\.bridge\.1\.", ".bridge.linear."),
    (r"(feed_forward\w*)\.0\.", r"\1.fc1."),
    (r"(feed_forward\w*)\.3\.", r"\1.fc2."),
    (r"\.query\.", ".linear_Q2d."),
    (r"\.key\.", ".linear_K2d."),
    (r"\.value\.", ".linear_V2d."),
    (r"(_att\w*)\.output\.", r"\1.linear_d2Q."),
    (r"^heads\.audio\.", "detection_layers_A."),
    (r"^heads\.visual\.", "detection_layers_V."),
    (r"(detection_layers_[AV]\.\d+)\.", r"\1.conv_layers."),
)
"""Parts of our names of weights -> the published ones; applied in this order."""

Draw = Callable[[str, tuple[int, ...]], np.ndarray]


def read_bmt(shared: Path) -> Any:
    """Read the golden file."""
    return read_golden(shared, "bmt.json")


def published_name(name: str) -> str:
    """Return the published name of a weight."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def fill_weights(network: nn.Module, names_and_shapes: Sequence[tuple[str, Sequence[int]]], draw: Draw) -> None:
    """Fill the parameters of a network, whose published names and shapes must be these."""
    parameters = {published_name(name): parameter for name, parameter in network.named_parameters()}
    shapes = {name: list(parameter.shape) for name, parameter in parameters.items()}
    assert shapes == {name: list(shape) for name, shape in names_and_shapes}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(draw(name, tuple(parameter.shape)).astype(np.float32)))


def gaussian(std: float, salt: str = "") -> Draw:
    """Return the recipe of the golden files: a normal distribution, seeded by the name."""
    return lambda name, shape: std * np.random.RandomState(zlib.crc32((salt + name).encode())).standard_normal(shape)


def diverse(salt: str) -> Draw:
    """Return the recipe of `greedy_diverse`."""
    normal = gaussian(1.0, salt)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        values = normal(name, shape)
        if name.startswith("emb_C."):
            return 2 * values
        if name == "generator.linear.weight":
            return values
        if name.endswith("norm.weight"):
            return 1 + 0.1 * values
        return (0.02 if name.endswith("bias") else 0.15) * values

    return draw


def build_captioner(config: Mapping[str, int], vocabulary: int) -> BmtCaptioner:
    """Build the captioner of a block of the golden file."""
    sizes = CaptionerSizes({"visual": config["d_vid"], "audio": config["d_aud"]}, vocabulary, 30)
    settings = BmtSettings(
        hidden=config["d_model"], heads=config["H"], layers=config["N"], embedding=config["d_model_caps"]
    )
    return BmtCaptioner(sizes, settings).eval()


def draw_streams(
    config: Mapping[str, int], rows: tuple[int, int], lengths: Mapping[str, list[int]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return features of two videos, padded with ones as published, and their masks.

    Args:
        config: sizes of the network.
        rows: number of visual and of audio rows.
        lengths: number of rows that are no padding, of each stream and video.
    """
    random = np.random.RandomState(0)
    shapes = ((2, rows[0], config["d_vid"]), (2, rows[0], config["d_vid"]), (2, rows[1], config["d_aud"]))
    rgb, flow, audio = (torch.from_numpy(np.abs(random.standard_normal(shape)).astype(np.float32)) for shape in shapes)
    counts = {"visual": rows[0], "audio": rows[1]}
    masks = {name: length_mask([*of_stream, counts[name]])[:-1] for name, of_stream in lengths.items()}
    padding = ~masks["visual"][..., None]
    visual = rgb.masked_fill(padding, 1.0) + flow.masked_fill(padding, 0.0)
    return {"visual": visual, "audio": audio.masked_fill(~masks["audio"][..., None], 1.0)}, masks
