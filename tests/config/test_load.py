"""The configuration: defaults, overlays, and one plain line for whatever is wrong."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.load import CONFIG, Config, load, merge
from pipeline.config.schema import config_yaml, generated, main
from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / CONFIG


@pytest.mark.parametrize("dataset", sorted(path.stem for path in (FOLDER / "datasets").glob("*.yaml")))
def test_every_dataset_has_a_valid_configuration(dataset: str) -> None:
    assert isinstance(load(dataset, {}, FOLDER), Config)


def test_every_encoder_of_the_papers_is_an_entry() -> None:
    encoders = load("anet", {}, FOLDER).pretrain_encoder
    heads = {
        name: (entry.action, entry.alpha, entry.beta, entry.global_feature and entry.global_feature.pool)
        for name, entry in encoders.items()
        if entry.epochs
    }
    assert heads == {
        "sa_tsp": (1.0, 1.0, 0.1, "max"),
        "sa_tsp_bce": (1.0, 1.0, 0.1, "max"),
        "tsp": (1.0, 1.0, 0.0, "max"),
        "tsp_mean": (1.0, 1.0, 0.0, "mean"),
        "tsp_clip_alone": (1.0, 1.0, 0.0, None),
        "tsp_without_action": (0.0, 1.0, 0.0, "max"),
        "tac": (1.0, 0.0, 0.0, None),
    }
    # TSP, section 4: two GPUs of 32 clips each, 8 epochs, its own rates.
    for name in heads:
        entry = encoders[name]
        assert (entry.architecture, entry.initial_weights) == ("r2plus1d_34", "r2plus1d_34_8_kinetics")
        assert (entry.replicas, entry.batch_size, entry.epochs, entry.backbone_lr) == (2, 32, 8, 1e-4)
        assert (entry.warmup_epochs, entry.milestones, entry.decay) == (2.0, [4.0, 6.0], 0.01)
        focusing = entry.semantic_loss
        assert ((focusing.gamma_neg, focusing.gamma_pos, focusing.margin) == (0, 0, 0)) == (name == "sa_tsp_bce")


@pytest.mark.parametrize("overlay", sorted(FOLDER.glob("anet_*.yaml")), ids=lambda path: path.stem)
def test_every_overlay_is_valid_on_its_dataset(overlay: Path) -> None:
    over = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    assert load("anet", over, FOLDER) != load("anet", {}, FOLDER)
    assert load("anet_smoke", over, FOLDER) != load("anet_smoke", {}, FOLDER)


def test_generated_files_are_as_the_code_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for path, text in generated().items():
        assert path.read_text(encoding="utf-8") == text, "python -m pipeline.config.schema --write"


def test_schema_command_says_how_to_mend_a_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "--write" in capsys.readouterr().err
    assert main(["--write"]) == 0
    assert main([]) == 0


def test_written_defaults_are_the_defaults() -> None:
    assert Config.parse(yaml.safe_load(config_yaml()), "") == Config()


def test_every_key_stands_below_a_comment() -> None:
    lines = config_yaml().splitlines()
    for above, line in itertools.pairwise(lines):
        named_entry = re.match(r"  (initial|sa_tsp|gt|learned):$", line)
        if re.match(r" *[a-z_]+:", line) and not named_entry:
            assert above.strip().startswith("#"), line


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"reencode": {"cfr": 18}}, "unknown key reencode.cfr"),
        ({"reencod": {}}, "unknown key reencod"),
        ({"reencode": {"crf": 99}}, "reencode.crf = 99"),
        (
            {"pretrain_encoder": {"sa_tsp": {"backbone_lr": "1e-4"}}},
            "pretrain_encoder.sa_tsp.backbone_lr = '1e-4'",
        ),
        ({"build_corpus": {"missing": "maybe"}}, "'fail' or 'allow'"),
        ({"build_corpus": {"fractions": {"test": 0.9}}}, "must not exceed 1"),
        ({"extract_features": {"sa_tsp": {"encoder": "nope"}}}, "names 'nope'; there are initial, sa_tsp"),
        ({"extract_features": {"i3d": {"extractor": "i3d_rgb"}}}, "i3d.extractor.weights is missing"),
        ({"extract_features": {"i3d": {"extractor": "i3d_rgb", "weights": "random", "clip": 8}}}, "unknown key"),
        ({"train_captioner": {"sa_tsp": {"features": ["i3d"]}}}, "names 'i3d'"),
        ({"train_captioner": {"sa_tsp": {"features": ["sa_tsp", "sa_tsp"]}}}, "names a feature twice"),
        ({"train_captioner": {"a b": {"features": ["sa_tsp"]}}}, "names are small letters"),
        ({"propose_events": {"control": {"kind": "gt"}}}, "not control or ensemble"),
        ({"pretrain_encoder": {"sa_tsp": {"clip": {"fps": 7.0}}}}, "clip.fps 7 must divide reencode.fps"),
        ({"pretrain_encoder": {"sa_tsp": {"freeze_stem": True}}}, "freeze_stem keeps a random stem"),
        ({"pretrain_encoder": {"sa_tsp": {"keep_heads": True}}}, "keep_heads: true needs initial_weights"),
        ({"select_captions": {"members": [{"captioner": "sa_tsp"}, {"captioner": "sa_tsp"}]}}, "same seed twice"),
        ({"select_captions": {"members": []}}, "select_captions.members"),
        ({"finetune_scst": {"proposals": "dbg"}}, "finetune_scst.proposals names 'dbg'; there are gt, learned"),
        ({"finetune_scst": {"baseline": "samples", "samples": 1}}, "needs samples: 2 or more"),
        ({"propose_events": {"learned": None}}, "lacks learned"),
        ({"pretrain_encoder": {"sa_tsp": {"clip": {"crop": 500}}}}, "crop 500 exceeds"),
    ],
)
def test_mistakes_are_one_plain_line(over: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineError) as error:
        load("demo", over, FOLDER)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300, "not the whole configuration"


def test_unknown_dataset_names_those_there_are() -> None:
    with pytest.raises(PipelineError, match=r"no dataset 'nope'.*anet, demo"):
        load("nope", {}, FOLDER)


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "config.yaml").write_text("reencode: {crf: 18")
    (tmp_path / "datasets" / "mine.yaml").write_text("")
    with pytest.raises(PipelineError, match=r"config\.yaml: not valid YAML"):
        load("mine", {}, tmp_path)


plain = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abcd"), plain, max_size=4)


@given(mappings, mappings)
def test_merge_keeps_what_is_not_overridden_and_changes_neither_argument(base: Any, over: Any) -> None:
    before = repr(base), repr(over)
    merged = merge(base, over)
    assert (repr(base), repr(over)) == before
    assert merged.keys() == base.keys() | over.keys()
    assert all(merged[key] == base[key] for key in base.keys() - over.keys())
    assert merge(merged, over) == merged


def test_canonical_text_ignores_the_order_of_keys() -> None:
    one = Config.parse({"reencode": {"crf": 18, "gop": 30}}, "")
    two = Config.parse({"reencode": {"gop": 30, "crf": 18}}, "")
    assert one.canonical() == two.canonical()
    assert one.digest() != Config().digest()


@pytest.mark.parametrize(
    ("encoders", "said"),
    [
        ({"sa_tsp": {"global_feature": {"feature": "nope"}}}, "pretrain_encoder.sa_tsp.global_feature.feature names"),
        ({"sa_tsp": {"global_feature": {"feature": "sa_tsp"}}}, "needs itself: sa_tsp needs sa_tsp"),
        (
            {
                "sa_tsp": {"global_feature": {"feature": "initial"}},
                "initial": {"global_feature": {"feature": "sa_tsp"}},
            },
            "needs itself: initial needs sa_tsp needs initial",
        ),
        ({"sa_tsp": {"global_feature": {"feature": "initial", "pool": "mean"}}}, "'mean' is none of pool_features"),
    ],
)
def test_global_features_come_from_encoders_that_are_there_before(encoders: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        load("demo", {"pretrain_encoder": encoders, "pool_features": {"pools": ["max"]}}, FOLDER)


@pytest.mark.parametrize(
    ("section", "name", "over"),
    [
        ("propose_events", "learned", {"kind": "bmn", "features": ["sa_tsp"]}),
        ("propose_events", "learned", {"kind": "file", "path": "mine.json"}),
        ("extract_features", "sa_tsp", {"extractor": "tsp", "weights": "random"}),
        ("extract_features", "sa_tsp", {"file": "mine.h5", "fps": 15.0, "frames": 16, "stride": 16}),
    ],
)
def test_an_entry_of_another_kind_replaces_the_one_it_is_laid_on(section: str, name: str, over: dict[str, Any]) -> None:
    loaded = load("demo", {section: {name: over}}, FOLDER).model_dump(mode="json")[section][name]
    kinds = {"boundary", "encoder"}
    assert over.items() <= loaded.items()
    assert not kinds & {loaded.get("kind"), *loaded}


def test_an_entry_of_the_same_kind_keeps_what_is_not_said() -> None:
    over = {"propose_events": {"learned": {"kind": "boundary", "epochs": 3}}}
    learned = load("demo", over, FOLDER).propose_events["learned"].root
    assert learned.model_dump()["max_proposals"] == 6
    over = {"extract_features": {"i3d_rgb": {"extractor": "i3d_rgb", "stride": 32}}}
    assert load("anet", over, FOLDER).extract_features["i3d_rgb"].model_dump()["weights"] == "weights/rgb_imagenet.pt"
