"""The bi-modal transformer against numbers of the published code."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.bmt_goldens import build_captioner, diverse, draw_streams, fill_weights, gaussian, read_bmt
from helpers.feature_files import random_features, write_feature_shard
from helpers.gtad_goldens import check_array
from torch import Tensor

from pipeline.bimodal.attention import encode_positions
from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.bmt.captioner import BmtCaptioner
from pipeline.captioning.bmt.decoder import DecoderState, causal_mask
from pipeline.captioning.bundle import count_parameters
from pipeline.captioning.captions import smoothed_divergence
from pipeline.config.captioners import BmtSettings
from pipeline.features.combined import CombinedFeatures
from pipeline.features.time_grid import ClipGrid

PAD, START, END = 1, 2, 3
"""Ids of the published code; ours has one id for all three."""

SMALL = "captioning_small", (7, 12), {"visual": [7, 4], "audio": [12, 9]}
FULL = "captioning_full_size_V100", (24, 40), {"visual": [10, 24], "audio": [40, 17]}


def published_mask(tokens: Tensor) -> Tensor:
    """Return the published mask of words, by which no word sees padding."""
    return (tokens != PAD)[:, None] & causal_mask(0, tokens.shape[1])


def decode(captioner: BmtCaptioner, state: DecoderState, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the decoded words, and the log-probabilities of the words after them."""
    decoded, _ = captioner.decoder(state, captioner.embed(tokens, 0), published_mask(tokens))
    return decoded, captioner.output(decoded).log_softmax(2)


def build(shared: Path, block: str, rows: tuple[int, int], lengths: dict[str, list[int]]) -> tuple[Any, ...]:
    golden = read_bmt(shared)[block]
    captioner = build_captioner(golden["config"], golden["vocabulary"])
    fill_weights(captioner, golden["names_and_shapes"], gaussian(golden["weight_std"]))
    return golden, captioner, *draw_streams(golden["config"], rows, lengths)


@pytest.mark.parametrize("case", [SMALL, FULL], ids=["small", "full size"])
@torch.no_grad()
def test_network_gives_the_published_numbers(shared: Path, case: tuple[Any, ...]) -> None:
    golden, captioner, streams, masks = build(shared, *case)
    tokens = torch.tensor(golden["tokens"])[:, :-1]
    expected = golden["intermediate"]
    check_array(captioner.embedding(tokens) * captioner.settings.embedding**0.5, expected["emb_C"], 1e-5)
    visual = streams["visual"] + encode_positions(0, *streams["visual"].shape[1:])
    check_array(visual, expected["pos_enc_V"], 1e-5)
    encoded = captioner.encoder(streams, masks)
    check_array(encoded["audio"], expected["encoder_Av"], 1e-4)
    check_array(encoded["visual"], expected["encoder_Va"], 1e-4)
    decoded, log_probs = decode(captioner, captioner.decoder.start(encoded, masks), tokens)
    check_array(decoded, expected["decoder"], 1e-5)
    check_array(log_probs, golden["log_probabilities"], 1e-5)


def test_masks_are_the_published_ones(shared: Path) -> None:
    golden, _, _, masks = build(shared, *SMALL)
    expected = golden["masks"]
    assert masks["visual"][:, None].int().tolist() == expected["V_mask"]
    assert masks["audio"][:, None].int().tolist() == expected["A_mask"]
    assert published_mask(torch.tensor(golden["tokens"])[:, :-1]).int().tolist() == expected["C_mask"]


@pytest.mark.parametrize("smoothing", [0.7, 0.1, 0.0])
@pytest.mark.parametrize("case", [SMALL, FULL], ids=["small", "full size"])
def test_label_smoothing_has_the_published_loss_and_gradient(
    shared: Path, case: tuple[Any, ...], smoothing: float
) -> None:
    golden, captioner, streams, masks = build(shared, *case)
    expected = golden["label_smoothing"][f"smoothing_{smoothing:g}"]
    tokens = torch.tensor(golden["tokens"])
    with torch.no_grad():
        state = captioner.decoder.start(captioner.encoder(streams, masks), masks)
        _, log_probs = decode(captioner, state, tokens[:, :-1])
    log_probs.requires_grad_()
    targets = tokens[:, 1:]
    is_word = targets != PAD
    # The published padding is no word; no probability is asked of it.
    possible = log_probs.index_fill(2, torch.tensor(PAD), -torch.inf)
    loss = smoothed_divergence(possible[is_word], targets[is_word], smoothing)
    assert int(is_word.sum()) == expected["tokens"]
    assert loss.item() == pytest.approx(expected["kl_sum"], rel=1e-5)
    mean = loss / is_word.sum()
    assert mean.item() == pytest.approx(expected["loss"], rel=1e-5)
    mean.backward()
    assert log_probs.grad is not None
    check_array(log_probs.grad, expected["grad"], 1e-7)


@torch.no_grad()
def generate(captioner: BmtCaptioner, state: DecoderState, max_words: int) -> tuple[Tensor, list[Tensor]]:
    """Generate as published: every sequence goes on until all have ended; a generated id 1 is not seen later."""
    tokens = torch.full((2, 1), START)
    log_probs: list[Tensor] = []
    while tokens.shape[1] <= max_words and not (tokens == END).any(1).all():
        log_probs.append(decode(captioner, state, tokens)[1][:, -1])
        tokens = torch.cat([tokens, log_probs[-1].argmax(1, keepdim=True)], 1)
    return tokens, log_probs


def cut_at_end(tokens: Tensor) -> list[list[int]]:
    rows = tokens[:, 1:].tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]


@pytest.mark.parametrize("case", [SMALL, FULL], ids=["small", "full size"])
def test_greedy_words_are_the_published_ones(shared: Path, case: tuple[Any, ...]) -> None:
    golden, captioner, streams, masks = build(shared, *case)
    expected = golden["greedy_max_len_10"]
    with torch.no_grad():
        state = captioner.decoder.start(captioner.encoder(streams, masks), masks)
    tokens, _ = generate(captioner, state, 10)
    assert tokens.tolist() == expected["tokens"]
    assert cut_at_end(tokens) == expected["cut_at_first_3"]


@torch.no_grad()
def test_diverse_greedy_words_are_the_published_ones(shared: Path) -> None:
    golden = read_bmt(shared)
    small, diverse_runs = golden["captioning_small"], golden["greedy_diverse"]["runs"]
    _, rows, lengths = SMALL
    streams, masks = draw_streams(small["config"], rows, lengths)
    names = [
        (name, [12, *shape[1:]] if name.startswith(("emb_C", "generator")) else shape)
        for name, shape in small["names_and_shapes"]
    ]
    for run in diverse_runs:
        captioner = build_captioner(small["config"], 12)
        fill_weights(captioner, names, diverse(run["salt"]))
        state = captioner.decoder.start(captioner.encoder(streams, masks), masks)
        tokens, log_probs = generate(captioner, state, run["max_len"])
        assert tokens.tolist() == run["tokens"]
        assert cut_at_end(tokens) == run["cut_at_first_3"]
        first = torch.tensor(run["log_prob_of_each_choice_video_0_step_1"])
        torch.testing.assert_close(log_probs[0][0], first, atol=1e-5, rtol=0)


def test_positions_are_encoded_as_published(shared: Path) -> None:
    for dim, entries in read_bmt(shared)["positional_encoding"]["values"].items():
        encoded = encode_positions(0, 1 + max(entry[0] for entry in entries), int(dim))
        for position, channel, value in entries:
            assert encoded[position, channel].item() == pytest.approx(value, abs=1e-6)
    torch.testing.assert_close(encode_positions(3, 2, 20), encode_positions(0, 5, 20)[3:])


@pytest.mark.parametrize("visual", [1024, 512])
def test_published_sizes_have_the_published_numbers_of_parameters(shared: Path, visual: int) -> None:
    expected = read_bmt(shared)["parameter_counts"][f"d_vid_{visual}"]
    with torch.device("meta"):
        sizes = CaptionerSizes({"visual": visual, "audio": 128}, 10_173, 30)
        captioner = BmtCaptioner(sizes, BmtSettings(word_vectors="glove.txt"))
    assert count_parameters(captioner) == expected["captioning_trainable_V10173"]
    assert count_parameters(captioner.encoder) == expected["captioning_encoder"]
    assert count_parameters(captioner.decoder) == expected["captioning_decoder"]
    assert count_parameters(captioner.output) == expected["generator"]
    assert captioner.embedding.weight.numel() == expected["frozen_embedding"]


def test_rows_of_an_event_are_the_published_crop_or_one_row_off_at_either_end(shared: Path, tmp_path: Path) -> None:
    """The published crop rounds relative times down; ours takes the rows whose centres are in the event."""
    differing = 0
    rows = read_bmt(shared)["crop_segment"]["rows"]
    for number, (count, start, end, duration, (first, last)) in enumerate(rows):
        grid = ClipGrid(fps=1.0, frames=1, stride=1)
        seconds = count / duration  # on a grid of one row a second, the video is as long as it has rows
        write_feature_shard(tmp_path / str(number), {"v": random_features(count)}, 0, "toy", grid)
        features = CombinedFeatures.open(tmp_path / str(number), ["toy"], 1)
        ours = features.event_rows("v", start * seconds, end * seconds)
        assert abs(ours[0] - first) <= 1
        assert abs(ours[1] - 1 - last) <= 1
        differing += ours != (first, last + 1)
    assert 0 < differing < len(rows)
