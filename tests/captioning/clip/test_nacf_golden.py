"""NACF against the published numbers (Yang et al., 2021 and 2022): `../shared/golden`."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.clip.captioner import summed_cross_entropy
from pipeline.captioning.clip.encoder import ClipEncoder, HighwayEncoder
from pipeline.captioning.clip.mask_predict import Candidates, MaskPredict, choose_lengths, score_captions
from pipeline.captioning.clip.masked_words import (
    LengthPredictor,
    SpecialIds,
    ask_for_visual_words,
    length_loss,
    mask_positions,
)
from pipeline.captioning.clip.nacf import NUM_INPUT_IDS, NacfCaptioner
from pipeline.captioning.instances import Instances
from pipeline.config.captioners import CAPTIONERS, NacfSettings
from tests.helpers.clip_golden import (
    BOS,
    MASK,
    NUM_ATTRIBUTES,
    NUM_EVENTS,
    PAD,
    POSITIONS,
    STREAMS,
    VISUAL,
    VOCABULARY,
    assert_recorded,
    attribute_labels,
    clip_batch,
    draw_weight,
    fill_weights,
    published_name,
    read_golden,
    small_captioner,
)

IDS = SpecialIds(PAD, MASK, VISUAL)
recipes = pytest.mark.parametrize("recipe", ["plain", "strong"])


@cache
def network(recipe: str, attributes: bool = False) -> tuple[NacfCaptioner, Instances]:
    """The captioner with the published ids: `<mask>` and `<vis>` are in its vocabulary."""
    block = {"attributes": {"count": NUM_ATTRIBUTES}} if attributes else {}
    settings = NacfSettings.model_validate({"hidden": 16, "heads": 4, "feedforward": 32, **block})
    sizes = CaptionerSizes(STREAMS, VOCABULARY - NUM_INPUT_IDS, POSITIONS - 2, NUM_ATTRIBUTES if attributes else 0)
    captioner = NacfCaptioner(sizes, settings)
    fill_weights(captioner, recipe)
    return captioner, captioner.encode(clip_batch())


def log_probs_of(captioner: NacfCaptioner, memory: Instances, tokens: Tensor, mask: Tensor) -> Tensor:
    """The log-probabilities over all ids, as published: no id is impossible."""
    embedded = captioner.decoder.embed(tokens, offset=memory.mean())
    return captioner.output(captioner.decoder.decode(captioner.decoder.start(memory), embedded, mask)).log_softmax(2)


@cache
def training_inputs(shared: Path) -> tuple[Any, dict[str, Tensor]]:
    golden = read_golden(shared, "clip_arb_nacf_small")
    rows = next(value for name, value in golden["nacf_inputs"].items() if name.startswith("train_rows"))
    return golden, {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def test_training_inputs_are_the_published_ones(shared: Path) -> None:
    golden, rows = training_inputs(shared)
    words = torch.tensor(golden["clean_ids"])
    mask = words != PAD
    masked = mask_positions(words, mask, rows["dec_target"] != PAD, IDS)
    assert torch.equal(masked.source, rows["dec_source"])
    assert torch.equal(masked.targets, rows["dec_target"])
    inputs = golden["nacf_inputs"]
    kinds = [[inputs["itop"].get(str(tag), "") for tag in tags[1:-1]] for tags in inputs["pos_tags"]]
    is_visual = torch.zeros_like(mask)
    for row, of_row in enumerate(kinds):
        for position, kind in enumerate(of_row[:POSITIONS]):
            word = inputs["itow"][str(words[row, position].item())]
            is_visual[row, position] = kind in ("NOUN", "VERB") and word not in ("is", "are", "was", "were", "be")
    visual = ask_for_visual_words(words, mask, is_visual & mask, IDS)
    assert torch.equal(visual.source, rows["dec_source_1"])
    assert torch.equal(visual.targets, rows["dec_target_1"])


@recipes
@pytest.mark.parametrize("attributes", [False, True])
def test_outputs_and_losses_are_the_published_ones(recipe: str, attributes: bool, shared: Path) -> None:
    golden, rows = training_inputs(shared)
    captioner, memory = network(recipe, attributes)
    expected = golden[f"NACF{'+DAP' if attributes else ''}_{recipe}"]["two_inputs"]
    mask = torch.tensor(golden["clean_ids"]) != PAD
    of_masks = log_probs_of(captioner, memory, rows["dec_source"], mask)
    of_visual = log_probs_of(captioner, memory, rows["dec_source_1"], mask)
    lengths = captioner.lengths(memory.mean()).log_softmax(1)
    assert_recorded(memory.values, expected["encoder_hidden_states"])
    assert_recorded(of_masks, expected["log_probs_mlm"])
    assert_recorded(of_visual, expected["log_probs_visual"])
    assert_recorded(lengths, expected["preds_length"])
    losses = {
        "Lang Loss": (
            summed_cross_entropy(of_masks, rows["dec_target"], rows["dec_target"] != PAD)
            + 0.8 * summed_cross_entropy(of_visual, rows["dec_target_1"], rows["dec_target_1"] != PAD)
        )
        / NUM_EVENTS,
        "Length Loss": length_loss(lengths, torch.tensor(golden["length_target"])),
    }
    if attributes:
        scored = rows["dec_target"] != PAD
        words = captioner.decoder.embed(rows["dec_source"], offset=memory.mean())
        assert_recorded(words, expected["input_embs"])
        of_sides = captioner.attributes.compute_losses(memory, Instances(words, scored), attribute_labels())
        losses |= {"V-Attr": of_sides["visual_attributes"], "I-Attr": of_sides["text_attributes"]}
        three = golden[f"NACF+DAP_{recipe}"]["three_inputs"]
        clean = captioner.decoder.embed(torch.tensor(golden["clean_ids"]), offset=memory.mean())
        assert_recorded(clean, three["input_embs"])
        of_sides = captioner.attributes.compute_losses(memory, Instances(clean, scored), attribute_labels())
        assert of_sides["text_attributes"].item() == pytest.approx(three["losses"]["I-Attr"], rel=1e-5)
    for name, value in {**losses, "total": sum(losses.values())}.items():
        assert value.item() == pytest.approx(expected["losses"][name], rel=1e-5, abs=1e-5), name


def decode(
    recipe: str, rules: MaskPredict, *, with_teacher: bool, alpha: float = 1.0
) -> tuple[list[list[int]], Tensor, list[Candidates], Tensor]:
    """Decode as published: all ids are possible. Return captions, log-probabilities, passes, and lengths."""
    captioner, memory = network(recipe)
    teacher = small_captioner("arb", recipe, prefix="teacher.")
    lengths = choose_lengths(captioner.lengths(memory.mean()).log_softmax(1), 6, 4, POSITIONS)
    rows = torch.arange(NUM_EVENTS).repeat_interleave(6)
    expanded = Instances(memory.values[rows], memory.mask[rows])
    of_teacher = teacher.encode(clip_batch())
    teacher_rows = Instances(of_teacher.values[rows], of_teacher.mask[rows])

    def predict(tokens: Tensor, mask: Tensor, chosen: Tensor, is_template: bool) -> tuple[Tensor, Tensor]:
        best = log_probs_of(captioner, expanded, tokens, mask)[chosen].max(1)
        return best.indices, best.values.exp()

    def score(tokens: Tensor, mask: Tensor) -> Tensor:
        inputs = torch.cat([torch.full((len(tokens), 1), BOS), tokens[:, :-1]], 1)
        causal = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).tril() & (inputs != PAD)[:, None]
        hidden = teacher.decoder.decode(teacher.start(teacher_rows), teacher.decoder.embed(inputs), causal)
        probs = teacher.output(hidden).softmax(2).gather(2, tokens[..., None]).squeeze(2)
        return probs.masked_fill(~mask, 1.0)

    passes: list[Candidates] = []
    scorer = score if with_teacher else None
    with torch.no_grad():
        candidates = rules.refine(lengths.flatten(), predict, scorer, passes.append)
        scores, log_probs = score_captions(candidates, alpha, scorer)
    best = scores.view(NUM_EVENTS, 6).argmax(1) + 6 * torch.arange(NUM_EVENTS)
    return candidates.tokens[best].tolist(), log_probs[best], passes, lengths


@recipes
@pytest.mark.parametrize(
    ("name", "rules", "options"),
    [
        ("mp ct teacher alpha=1.0", MaskPredict(IDS, 5, True), {"with_teacher": True}),
        ("mp ct teacher alpha=1.35", MaskPredict(IDS, 5, True), {"with_teacher": True, "alpha": 1.35}),
        ("mp ct no_teacher", MaskPredict(IDS, 5, True), {"with_teacher": False}),
        ("mp no_ct teacher", MaskPredict(IDS, 5, False), {"with_teacher": True}),
        ("mp ct teacher masking_decision", MaskPredict(IDS, 5, True, True), {"with_teacher": True}),
        ("l2r ct teacher", MaskPredict(IDS, 5, True, order="left_to_right"), {"with_teacher": True}),
        ("ef ct teacher", MaskPredict(IDS, 5, True, order="easy_first"), {"with_teacher": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decoding_is_the_published_one(
    recipe: str, name: str, rules: MaskPredict, options: dict[str, Any], shared: Path
) -> None:
    golden, _ = training_inputs(shared)
    of_recipe = golden[f"NACF_{recipe}"]
    expected = of_recipe["decoding"][name]
    captions, log_probs, passes, lengths = decode(recipe, rules, **options)
    assert lengths.tolist() == of_recipe["length_candidates"]
    width = log_probs.shape[1]
    if recipe == "strong":
        assert captions == [row[:width] for row in expected["tokens"]]
    torch.testing.assert_close(
        log_probs, torch.tensor(expected["log_probs"])[:, :width], atol=2e-5 if recipe == "strong" else 2e-3, rtol=1e-5
    )
    if recipe == "strong" and "iterations" in expected:
        assert len(passes) == len(expected["iterations"])
        for candidates, of_pass in zip(passes, expected["iterations"], strict=True):
            assert candidates.tokens[:6].tolist() == of_pass["tokens"]
            torch.testing.assert_close(candidates.probs[:6], torch.tensor(of_pass["probs"]), atol=1e-5, rtol=1e-5)


def test_batch_normalisation_in_training_is_the_published_one(shared: Path) -> None:
    golden, _ = training_inputs(shared)
    expected = golden["encoder_training_mode"]
    captioner = small_captioner("arb", "strong").train()
    for module in captioner.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    batch = clip_batch()
    batch.streams["a"].values[2] = 0.0
    assert_recorded(captioner.encode(batch).values, expected["output"])
    of_audio = captioner.encoder.streams["a"]
    assert isinstance(of_audio, HighwayEncoder)
    for ours, name in ((of_audio.norm.running_mean, "running_mean_A"), (of_audio.norm.running_var, "running_var_A")):
        recorded = expected[name]
        values = recorded["values"] if isinstance(recorded, dict) else recorded
        torch.testing.assert_close(ours.double(), torch.tensor(values, dtype=torch.float64), atol=1e-5, rtol=1e-5)


def test_weights_have_the_names_shapes_and_number_of_the_published_ones(shared: Path) -> None:
    golden, _ = training_inputs(shared)
    for attributes, part in ((False, "NACF"), (True, "NACF+DAP")):
        captioner, _ = network("plain", attributes)
        ours = {
            published_name(name, "nacf"): list(value.shape)
            for name, value in captioner.state_dict().items()
            if not name.startswith("feature_norms.")
        }
        # Without attributes the published code calls the length predictor net 0 too; with them, attributes are net 1.
        assert ours == dict(golden[f"{part}_state_dict"])
    for name, expected in golden["trainable_parameters"].items():
        method, _, vocabulary = name.split()
        if method.startswith("NACF"):
            block = {"attributes": {}} if "DAP" in method else {}
            num_ids = int(vocabulary.removeprefix("V=")) - NUM_INPUT_IDS
            sizes = CaptionerSizes({"a": 128, "m": 2048, "i": 512}, num_ids, 28, 500 if block else 0)
            spec = CAPTIONERS["nacf"]
            with torch.device("meta"):
                captioner = spec.load()(sizes, spec.settings.model_validate(block))
            assert sum(weight.numel() for weight in captioner.parameters()) == expected, name


@recipes
def test_encoder_and_lengths_of_the_first_publication_are_the_published_ones(recipe: str, shared: Path) -> None:
    """Its decoder is another one (no layer normalisation, categories), which this project does not have."""
    golden = read_golden(shared, "nacf_predecessor_small")
    draw = np.random.RandomState(0)
    clips = {name: torch.from_numpy(draw.standard_normal((3, 5, STREAMS[name])).astype(np.float32)) for name in "mi"}
    encoder = ClipEncoder({name: STREAMS[name] for name in "mi"}, 16, 0.0, "highway").eval()
    lengths = LengthPredictor(16, POSITIONS, 0.0).eval()
    renamed = (
        (r"^streams\.(\w)\.linear", r"encoder.Encoder_\1.0"),
        (r"^streams\.(\w)\.transform", r"encoder.Encoder_\1.1.w1"),
        (r"^streams\.(\w)\.gate", r"encoder.Encoder_\1.1.w2"),
        (r"^streams\.m\.norm", "joint_representation_learner.bn0"),
        (r"^streams\.i\.norm", "joint_representation_learner.bn1"),
        (r"^hidden", "auxiliary_task_predictor.layers.0.net.0"),
        (r"^output", "auxiliary_task_predictor.layers.0.net.3"),
    )
    for module in (encoder, lengths):
        state = module.state_dict()
        for name, value in state.items():
            published = name
            for pattern, replacement in renamed:
                published = re.sub(pattern, replacement, published)
            published = re.sub(r"Encoder_(\w)", lambda match: f"Encoder_{match[1].upper()}", published)
            state[name] = draw_weight(published, value.shape, recipe)
            if "bn" in published and published.endswith(".weight") and recipe == "strong":
                state[name] = 1 + draw_weight(published, value.shape, "plain")
        module.load_state_dict(state)
    instances = encoder({name: Instances(rows, torch.ones(3, 5, dtype=torch.bool)) for name, rows in clips.items()})
    assert_recorded(instances.values, golden[f"ARB_{recipe}"]["enc_output"])
    assert_recorded(lengths(instances.mean()).log_softmax(1), golden[f"NACF_{recipe}"]["preds_length"])
