"""Grad-CAM: the published maps, and what a recognizer without a part gets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.two_channel import TwoChannelWidths
from pipeline.encoders.grad_cam import compute_map, overlay_map, scale_map, score_class, score_words
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.errors import PipelineError
from tests.helpers.two_channel_golden import assert_recorded, golden_clips, golden_network, read_golden

LABEL = 17
CAPTION = torch.tensor([5, 9, 3, 12, 7, 1, 1, 1, 1])
STEP, TOKEN = 3, 12


def near(values: Tensor, recorded: dict, share: float = 1e-4) -> None:
    """Compare with a recorded tensor, to a share of its largest value."""
    assert_recorded(values, recorded, atol=share * max(abs(recorded["max"]), abs(recorded["min"])), rtol=1e-5)


def test_maps_of_a_class_are_the_published_ones(shared: Path) -> None:
    golden = read_golden(shared, "grad_cam")["classification_M(32,32)"]
    scored = score_class(golden_network("strong", "scores"), golden_clips()[0], LABEL, "plain")
    assert scored.score == pytest.approx(golden["score_value"], abs=1e-5)
    near(scored.activations, golden["activation"])
    near(scored.gradients, golden["gradient"])
    near(scored.gradients.mean((1, 2, 3)), golden["weights_per_channel (mean over T,H,W)"])
    plain = compute_map(scored, "plain", "class")
    near(plain, golden["cam_plain = relu(sum w[c]*A)"], 1e-3)
    near(scale_map(plain, 6), golden["cam_plain_minmax_over_clip"], 1e-3)
    notebook = golden["cam_notebook = relu(1 + sum w[c,t]/max(w)*A)"]
    near(compute_map(scored, "notebook", "class"), notebook, 1e-3)


def test_the_map_of_the_papers_score_is_the_published_one(shared: Path) -> None:
    golden = read_golden(shared, "grad_cam")["classification_M(32,32)"]
    expected = golden["paper_variant (score = logit of class 17 on the time mean)"]
    scored = score_class(golden_network("strong", "features"), golden_clips()[0], LABEL, "plain")
    assert scored.score == pytest.approx(expected["score_value"], abs=1e-5)
    near(scored.gradients.mean((1, 2, 3)), expected["weights_per_channel"])
    near(compute_map(scored, "plain", "class"), expected["cam_plain = relu(sum w[c]*A)"], 1e-3)


def test_the_notebook_of_a_network_without_2d_channel(shared: Path) -> None:
    golden = read_golden(shared, "grad_cam")["classification_notebook"]
    widths = TwoChannelWidths(base_3d=4, base_2d=0, encoder=24, embedding=10, decoder=20)
    scored = score_class(golden_network("strong", "scores", widths), golden_clips()[0], LABEL, "plain")
    assert scored.score == pytest.approx(golden["score_value"], abs=1e-5)
    key = "weights[c,t] = mean over H,W of the gradient (before division)"
    near(scored.gradients.mean((2, 3)), golden[key])
    cam = compute_map(scored, "notebook", "class")
    near(cam, golden["cam = relu(1 + sum_c w[c,t]/max(w) * A[c,t]), [8,6,6]"], 1e-3)


def test_the_map_of_the_script_is_of_the_fourth_convolution(shared: Path) -> None:
    golden = read_golden(shared, "grad_cam")["script_variant_conv4"]
    scored = score_class(golden_network("strong", "scores"), golden_clips()[0], LABEL, "script")
    near(scored.gradients.mean((1, 2, 3)), golden["weights[c]"])
    cam = compute_map(scored, "script", "class")
    near(cam, golden["cam = relu(1 + sum w[c]*A), [8,10,10]"], 1e-3)
    near(scale_map(cam, 96), golden["resized 96x96, min-max over the whole clip"], 1e-3)


@pytest.mark.parametrize("forced", [False, True])
def test_maps_of_a_word_are_the_published_ones(forced: bool, shared: Path) -> None:
    golden = read_golden(shared, "grad_cam")["captioning_M(32,32)"]
    network = golden_network("strong", "scores")
    [scored] = score_words(network, golden_clips()[0], CAPTION, [(STEP, TOKEN)], "plain", forced=forced)
    key = "teacher_forced (decoder input 0,5,9,3,12,7,1,1,1; token 12 at step 3)"
    expected = golden[key] if forced else golden
    assert scored.score == pytest.approx(expected["score_value"], abs=1e-5)
    near(scored.gradients.mean((1, 2, 3)), expected["weights[c]"])
    near(compute_map(scored, "plain", "word"), expected["cam_plain = relu(sum w[c]*A)"], 1e-3)
    if not forced:
        near(compute_map(scored, "notebook", "word"), golden["cam_notebook"], 1e-3)


def test_a_map_is_scaled_over_the_clip_or_in_each_frame() -> None:
    cam = torch.stack([torch.full((2, 2), 1.0), torch.tensor([[1.0, 2.0], [3.0, 5.0]])])
    over_clip, per_frame = scale_map(cam, 2), scale_map(cam, 2, per_frame=True)
    torch.testing.assert_close(over_clip[1], (cam[1] - 1) / 4)
    assert (over_clip[0] == 0).all()
    assert (per_frame[0] == 0).all()  # constant
    assert per_frame[1].max() == 1
    assert scale_map(cam, 8).shape == (2, 8, 8)


def test_an_overlay_is_red_where_the_map_is_high() -> None:
    clip = torch.full((3, 2, 4, 4), 100 / 64)
    heat = torch.zeros(2, 4, 4)
    heat[1, 2, 3] = 1.0
    overlay = overlay_map(clip, heat)
    assert overlay.shape == (2, 4, 4, 3)
    red, green, blue = (int(value) for value in overlay[1, 2, 3])
    assert red > max(green, blue)
    assert (overlay[0] == overlay[0, 0, 0]).all()
    assert np.argmax(overlay[0, 0, 0]) == 2


def test_a_recognizer_without_the_part_is_one_error() -> None:
    widths = TwoChannelWidths(0, 1, encoder=4, embedding=2, decoder=3)
    only_2d = TwoChannelNetwork(widths, 2, 0, "features").eval()
    clip = torch.rand(3, 2, 56, 56)
    with pytest.raises(PipelineError, match="3D"):
        score_class(only_2d, clip, 0, "plain")
    with pytest.raises(PipelineError, match="decoder"):
        next(score_words(only_2d, clip, CAPTION, [(0, 1)], "plain", forced=True))
    captions = TwoChannelNetwork(TwoChannelWidths(1, 0, 4, 2, 3), 0, 5, "features").eval()
    with pytest.raises(PipelineError, match="classifier"):
        score_class(captions, clip, 0, "plain")
