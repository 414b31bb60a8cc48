"""Transformer, ARB and TopDown against the published numbers (Yang et al., 2022): `../shared/golden`."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.clip.captioner import ClipCaptioner, summed_cross_entropy
from pipeline.captioning.instances import Instances
from pipeline.config.captioners import CAPTIONERS
from tests.helpers.clip_golden import (
    BOS,
    NUM_EVENTS,
    PAD,
    POSITIONS,
    assert_gradients,
    assert_recorded,
    attribute_labels,
    clip_batch,
    fill_weights,
    pad_captions,
    published_name,
    read_golden,
    small_captioner,
)
from tests.helpers.clip_search import (
    NextLogProbs,
    Search,
    search_as_published,
    topdown_log_probs,
    transformer_log_probs,
)

GOLDEN = {"transformer": "clip_transformer_small", "arb": "clip_arb_nacf_small", "topdown": "clip_topdown_small"}
PART = {"transformer": ("base", "dap"), "topdown": ("base", "dap"), "arb": ("ARB", "ARB+DAP")}
CASES = [
    (architecture, recipe, attributes)
    for architecture, recipes in {
        "transformer": ["plain", "strong"],
        "topdown": ["plain", "strong", "sharp"],
        "arb": ["plain", "strong"],
    }.items()
    for recipe in recipes
    for attributes in (False, True)
    if not (recipe == "sharp" and attributes)
]
cases = pytest.mark.parametrize(("architecture", "recipe", "attributes"), CASES)
GAP = 1e-4
"""Candidates of a search that are nearer to each other may change places."""


def expected_of(shared: Path, architecture: str, recipe: str, attributes: bool) -> tuple[dict[str, Any], Any]:
    golden = read_golden(shared, GOLDEN[architecture])
    return golden, golden[f"{PART[architecture][attributes]}_{recipe}"]


def read_captions(captioner: ClipCaptioner, memory: Instances, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return words as the text side sees them, hidden states, and log-probabilities."""
    if captioner.settings.architecture == "topdown":
        words, state, hidden = captioner.decoder.embedding(inputs), captioner.start(memory), []
        for tokens in inputs.unbind(1):
            output, state = captioner.decoder(state, tokens)
            hidden.append(output)
        stacked = torch.stack(hidden, 1)
    else:
        words = captioner.decoder.embed(inputs)
        visible = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).tril() & (inputs != PAD)[:, None]
        stacked = captioner.decoder.decode(captioner.start(memory), words, visible)
    return words, stacked, captioner.output(stacked).log_softmax(2)


@cases
def test_outputs_losses_and_gradients_are_the_published_ones(
    architecture: str, recipe: str, attributes: bool, shared: Path
) -> None:
    golden, expected = expected_of(shared, architecture, recipe, attributes)
    captioner = small_captioner(architecture, recipe, attributes=attributes)
    inputs, targets = pad_captions(golden["captions_with_BOS_EOS"], POSITIONS)
    memory = captioner.encode(clip_batch())
    words, hidden, log_probs = read_captions(captioner, memory, inputs)
    assert_recorded(memory.values, expected["encoder_hidden_states"])
    assert_recorded(log_probs, expected["log_probs"])
    for value, name in ((words, "input_embs"), (hidden, "hidden_states")):
        if name in expected:
            assert_recorded(value, expected[name])
    losses = {"Lang Loss": summed_cross_entropy(log_probs, targets, targets != PAD) / NUM_EVENTS}
    if attributes:
        text = "S-Attr" if architecture == "topdown" else "I-Attr"
        of_sides = captioner.attributes.compute_losses(memory, Instances(words, targets != PAD), attribute_labels())
        losses |= {"V-Attr": of_sides["visual_attributes"], text: of_sides["text_attributes"]}
    total = sum(losses.values())
    for name, value in {**losses, "total": total}.items():
        assert value.item() == pytest.approx(expected["losses"][name], rel=1e-5, abs=1e-5), name
    if "grad_abs_sum" in expected:
        total.backward()
        assert_gradients(captioner, expected["grad_abs_sum"])


def record_outputs(module: nn.Module) -> list[Tensor]:
    """Collect the outputs of a module, of an LSTM its hidden states, in the order of its calls."""
    outputs: list[Tensor] = []
    module.register_forward_hook(lambda *call: outputs.append(call[-1][0] if isinstance(call[-1], tuple) else call[-1]))
    return outputs


@pytest.mark.parametrize("recipe", ["plain", "strong"])
def test_attention_of_the_transformer_is_the_published_one(recipe: str, shared: Path) -> None:
    golden, expected = expected_of(shared, "transformer", recipe, False)
    captioner = small_captioner("transformer", recipe)
    inputs, _ = pad_captions(golden["captions_with_BOS_EOS"], POSITIONS)
    (layer,) = captioner.decoder.layers
    recorded = {
        name: [record_outputs(getattr(attention, part)) for part in ("query", "key")]
        for name, attention in (("self", layer.self_attention), ("cross", layer.cross_attention))
    }
    read_captions(captioner, captioner.encode(clip_batch()), inputs)
    visible = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).tril() & (inputs != PAD)[:, None]
    for name, mask in (("self", visible[:, None]), ("cross", torch.ones(1, 1, 1, 1, dtype=torch.bool))):
        queries, keys = (
            torch.cat(outputs).unflatten(2, (layer.self_attention.heads, -1)).transpose(1, 2)
            for outputs in recorded[name]
        )
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(3)
        if name == "self":
            assert_recorded(weights, expected["self_attention_probs_layer0"])
        else:
            assert_recorded(weights.mean(1), expected["cross_attention_mean_over_heads"])


@pytest.mark.parametrize("recipe", ["plain", "strong", "sharp"])
def test_attention_of_topdown_is_the_published_one(recipe: str, shared: Path) -> None:
    golden, expected = expected_of(shared, "topdown", recipe, False)
    captioner = small_captioner("topdown", recipe)
    inputs, _ = pad_captions(golden["captions_with_BOS_EOS"], POSITIONS)
    energies, attention = (record_outputs(getattr(captioner.decoder, name)) for name in ("energy", "attention_lstm"))
    memory = captioner.encode(clip_batch())
    words, _, _ = read_captions(captioner, memory, inputs)
    weights = torch.stack(energies, 1).squeeze(3).softmax(2)
    assert_recorded(weights[:, None], expected["attention_probs"])
    assert_recorded(weights @ memory.values, expected["context"])
    assert_recorded(torch.stack(attention, 1), expected["input_embs_bottom"])
    assert_recorded(words, expected["sentence_embs"])


def compare_search(search: Search, expected: dict[str, Any]) -> None:
    best = search.best()
    assert search.finished[best][0] == pytest.approx(expected["best_score"], abs=1e-4)
    if expected["min_gap"] > GAP:
        assert search.captions[best] == expected["best"]
        assert len(search.steps) == expected["steps"]
        assert len(search.finished) == expected["n_finished"]
    by_score = sorted(search.finished, key=lambda row: -row[0])
    if expected["min_gap"] > GAP:
        expected_rows = sorted(map(tuple, expected["finished_score_time_beam"]), key=lambda row: -row[0])
        assert [row[1:] for row in by_score] == [row[1:] for row in expected_rows]
        assert [row[0] for row in by_score] == pytest.approx([row[0] for row in expected_rows], abs=1e-5)


@cache
def searched(architecture: str, recipe: str, attributes: bool) -> tuple[ClipCaptioner, Instances]:
    captioner = small_captioner(architecture, recipe, attributes=attributes)
    return captioner, captioner.encode(clip_batch())


def run_search(
    architecture: str,
    recipe: str,
    attributes: bool,
    event: int,
    first: int,
    width: int = 5,
    alpha: float = 1.0,
    **rule: bool,
) -> Search:
    captioner, memory = searched(architecture, recipe, attributes)
    scorer: NextLogProbs = (
        topdown_log_probs(captioner, memory, event, width, **rule)
        if architecture == "topdown"
        else transformer_log_probs(captioner, memory, event)
    )
    with torch.no_grad():
        return search_as_published(scorer, first, width, alpha)


@pytest.mark.parametrize("recipe", ["plain", "strong"])
@pytest.mark.parametrize("attributes", [False, True])
def test_beam_search_of_the_transformer_is_the_published_one(recipe: str, attributes: bool, shared: Path) -> None:
    _, expected = expected_of(shared, "transformer", recipe, attributes)
    variants = {
        "first_token_PAD (reference)": {"first": PAD},
        "first_token_BOS": {"first": BOS},
        "beam_size_1 PAD": {"first": PAD, "width": 1},
        "alpha_0.5 PAD": {"first": PAD, "alpha": 0.5},
    }
    for name, rule in variants.items():
        for event, of_event in enumerate(expected["beam"][name]):
            compare_search(run_search("transformer", recipe, attributes, event, **rule), of_event)


@pytest.mark.parametrize(("first", "name"), [(PAD, "PAD"), (BOS, "BOS")])
def test_every_step_of_a_search_is_the_published_one(first: int, name: str, shared: Path) -> None:
    _, expected = expected_of(shared, "transformer", "strong", False)
    search = run_search("transformer", "strong", False, 0, first)
    steps = expected["beam"][f"steps_of_video_0_first_{name}"]
    assert len(search.steps) == len(steps)
    for (parents, tokens, scores), step in zip(search.steps, steps, strict=True):
        assert (parents, tokens) == (step["prev_k"], step["token"])
        # A beam that ended has -1e20 in all continuations; they are never better than the others here.
        assert scores == pytest.approx(step["score"], abs=1e-4)


@pytest.mark.parametrize("recipe", ["plain", "strong"])
@pytest.mark.parametrize("attributes", [False, True])
def test_beam_search_of_arb_is_the_published_one(recipe: str, attributes: bool, shared: Path) -> None:
    _, expected = expected_of(shared, "arb", recipe, attributes)
    for first, name in ((PAD, "beam_first_PAD"), (BOS, "beam_first_BOS")):
        for event, of_event in enumerate(expected[name]):
            compare_search(run_search("arb", recipe, attributes, event, first), of_event)


@pytest.mark.parametrize(
    ("recipe", "attributes"),
    [("plain", False), ("strong", False), ("sharp", False), ("plain", True), ("strong", True)],
)
def test_beam_search_of_topdown_is_the_published_one_with_and_without_its_fault(
    recipe: str, attributes: bool, shared: Path
) -> None:
    _, expected = expected_of(shared, "topdown", recipe, attributes)
    for first, name in ((PAD, "PAD"), (BOS, "BOS")):
        for follow, states in ((False, "states_not_reordered"), (True, "states_reordered")):
            for event, of_event in enumerate(expected["beam"][f"first_{name} {states}"]):
                compare_search(run_search("topdown", recipe, attributes, event, first, states_follow=follow), of_event)
    for event, of_event in enumerate(expected["beam"]["beam_size_1 first_PAD"]):
        compare_search(run_search("topdown", recipe, attributes, event, PAD, 1, states_follow=True), of_event)


def test_beam_search_needs_states_that_follow_their_captions(shared: Path) -> None:
    _, expected = expected_of(shared, "topdown", "sharp", False)
    faulty, correct = (
        expected["beam"][f"first_BOS {states}"] for states in ("states_not_reordered", "states_reordered")
    )
    assert [one["best"] for one in faulty] != [one["best"] for one in correct]


def count_parameters(architecture: str, vocabulary: int, **settings: Any) -> int:
    spec = CAPTIONERS[architecture]
    attributes = 500 if "attributes" in settings else 0
    sizes = CaptionerSizes({"a": 128, "m": 2048, "i": 512}, vocabulary, 28, attributes)
    with torch.device("meta"):
        captioner = spec.load()(sizes, spec.settings.model_validate(settings))
    return sum(weight.numel() for weight in captioner.parameters())


SIZES: dict[str, dict[str, Any]] = {"base": {}, "large": {"hidden": 1024, "heads": 16}}
BLOCKS: dict[str, dict[str, Any]] = {
    "Base": {},
    "VAP": {"attributes": {"text": False}},
    "TAP": {"attributes": {"visual": False}},
    "DAP": {"attributes": {}},
    "DAP_shared_prj": {"attributes": {"shared": True}},
}


def test_parameter_counts_are_the_published_ones(shared: Path) -> None:
    for name, expected in read_golden(shared, "clip_transformer_base")["trainable_parameters"].items():
        block, size, vocabulary = name.split()
        settings = SIZES[size] | BLOCKS[block]
        assert count_parameters("transformer", int(vocabulary.removeprefix("V=")), **settings) == expected, name
    for name, expected in read_golden(shared, "clip_arb_nacf_small")["trainable_parameters"].items():
        method, _, vocabulary = name.split()
        if method.startswith("ARB"):
            settings = {"attributes": {}} if "DAP" in method else {}
            assert count_parameters("arb", int(vocabulary.removeprefix("V=")), **settings) == expected, name
    for vocabulary, (base, dap) in {1000: (10_278_912, 10_808_296), 10_000: (19_494_912, 20_024_296)}.items():
        assert count_parameters("topdown", vocabulary) == base
        assert count_parameters("topdown", vocabulary, attributes={}) == dap


def test_weights_have_the_names_and_shapes_of_the_published_ones(shared: Path) -> None:
    for architecture, attributes in ((name, flag) for name in GOLDEN for flag in (False, True)):
        captioner = small_captioner(architecture, "plain", attributes=attributes)
        ours = {
            published_name(name, architecture): list(value.shape)
            for name, value in captioner.state_dict().items()
            if not name.startswith("feature_norms.")
        }
        golden = read_golden(shared, GOLDEN[architecture])
        assert ours == dict(golden[f"{PART[architecture][attributes]}_state_dict"])


@pytest.mark.parametrize("recipe", ["plain", "strong"])
def test_the_transformer_of_published_size_has_the_published_outputs(recipe: str, shared: Path) -> None:
    golden = read_golden(shared, "clip_transformer_base")
    expected, streams = golden[recipe], {"a": 128, "m": 2048, "i": 512}
    spec = CAPTIONERS["transformer"]
    captioner = spec.load()(CaptionerSizes(streams, 1000, 28, 500), spec.settings.model_validate({"attributes": {}}))
    fill_weights(captioner, recipe)
    with torch.no_grad():
        memory = captioner.encode(clip_batch(streams, 2, 28))
        inputs, _ = pad_captions(golden["captions"], 30)
        _, _, log_probs = read_captions(captioner, memory, inputs)
        predicted = captioner.attributes.predict("visual", memory)
    assert_recorded(memory.values, expected["encoder_hidden_states"])
    assert_recorded(log_probs, expected["log_probs"], atol=5e-5 if recipe == "strong" else 1e-5)
    assert_recorded(predicted.probabilities, expected["preds_attr"])
    assert_recorded(predicted.mean, expected["avg_prob_attr"])
    for first, name in ((PAD, "beam_PAD"), (BOS, "beam_BOS")):
        for event, of_event in enumerate(expected[name]):
            scorer = transformer_log_probs(captioner, memory, event)
            with torch.no_grad():
                compare_search(search_as_published(scorer, first, 5, positions=30), of_event)
