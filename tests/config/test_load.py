"""Loading of the configuration: defaults, overlays, and one-line errors."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.load import CONFIG, Config, load_config, merge_settings
from pipeline.config.schema import config_yaml
from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / CONFIG


@pytest.mark.parametrize("dataset", sorted(path.stem for path in (FOLDER / "datasets").glob("*.yaml")))
def test_every_dataset_has_a_valid_configuration(dataset: str) -> None:
    assert isinstance(load_config(dataset, {}, FOLDER), Config)


def test_every_encoder_of_the_papers_is_an_entry() -> None:
    encoders = load_config("anet", {}, FOLDER).pretrain_encoder
    weights = {
        name: (
            {term: settings.weight for term, settings in entry.losses.active().items()},
            entry.global_feature and entry.global_feature.pool,
        )
        for name, entry in encoders.items()
        if entry.epochs
    }
    assert weights == {
        "sa_tsp": ({"action": 1.0, "region": 1.0, "concepts": 0.1}, "max"),
        "sa_tsp_bce": ({"action": 1.0, "region": 1.0, "concepts": 0.1}, "max"),
        "tsp": ({"action": 1.0, "region": 1.0}, "max"),
        "tsp_mean": ({"action": 1.0, "region": 1.0}, "mean"),
        "tsp_clip_alone": ({"action": 1.0, "region": 1.0}, None),
        "tsp_without_action": ({"region": 1.0}, "max"),
        "tac": ({"action": 1.0}, None),
    }
    # TSP, section 4: two GPUs of 32 clips each, 8 epochs, its own learning rates.
    for name in weights:
        entry = encoders[name]
        assert (entry.architecture, entry.initial_weights) == ("r2plus1d_34", "r2plus1d_34_8_kinetics")
        assert (entry.accumulate_steps, entry.batch_size, entry.epochs, entry.backbone_lr) == (2, 32, 8, 1e-4)
        assert (entry.warmup_epochs, entry.milestones, entry.decay) == (2.0, [4.0, 6.0], 0.01)
        if concepts := entry.losses.active().get("concepts"):
            zeros = (concepts.gamma_neg, concepts.gamma_pos, concepts.margin) == (0, 0, 0)
            assert zeros == (name == "sa_tsp_bce")


@pytest.mark.parametrize("overlay", sorted(FOLDER.glob("anet_*.yaml")), ids=lambda path: path.stem)
def test_every_overlay_is_valid_on_its_dataset(overlay: Path) -> None:
    over = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    assert load_config("anet", over, FOLDER) != load_config("anet", {}, FOLDER)
    assert load_config("anet_smoke", over, FOLDER) != load_config("anet_smoke", {}, FOLDER)


def test_config_yaml_holds_the_defaults() -> None:
    assert Config.parse(yaml.safe_load(config_yaml()), "") == Config()


def test_config_yaml_has_a_comment_above_every_key() -> None:
    lines = config_yaml().splitlines()
    for above, line in itertools.pairwise(lines):
        entries = "initial|sa_tsp|gt|learned|gtad|pretraining|ablation|regression|perceptron|bilstm"
        named_entry = re.match(rf"(  |    )({entries}):$", line)
        if re.match(r" *[a-z_]+:", line) and not named_entry:
            assert above.strip().startswith("#"), line


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"reencode": {"cfr": 18}}, "unknown key reencode.cfr; did you mean 'crf'?"),
        ({"pretrain_encoder": {"sa_tsp": {"clip": {"heigth": 8}}}}, "clip.heigth; did you mean 'height'?"),
        ({"propose_events": {"learned": {"max_proposal": 8}}}, "max_proposal; did you mean 'max_proposals'?"),
        ({"train_captioner": {"sa_tsp": {"epoch": 8}}}, "sa_tsp.epoch; did you mean 'epochs'?"),
        ({"reencod": {}}, "unknown key reencod; did you mean 'reencode'?"),
        ({"reencode": {"crf": 99}}, "reencode.crf = 99"),
        (
            {"pretrain_encoder": {"sa_tsp": {"backbone_lr": "1e-4"}}},
            "pretrain_encoder.sa_tsp.backbone_lr = '1e-4'",
        ),
        ({"build_corpus": {"missing": "maybe"}}, "'fail' or 'allow'"),
        ({"build_corpus": {"fractions": {"test": 0.9}}}, "must not exceed 1"),
        ({"extract_features": {"sa_tsp": {"encoder": "nope"}}}, "names 'nope'; known: "),
        ({"extract_features": {"i3d": {"extractor": "i3d_rgb"}}}, "extract_features.i3d.weights is missing"),
        ({"extract_features": {"i3d": {"extractor": "i3d_rgb", "weights": "random", "clip": 8}}}, "unknown key"),
        ({"train_captioner": {"sa_tsp": {"features": ["i3d"]}}}, "names 'i3d'"),
        ({"train_captioner": {"sa_tsp": {"features": ["sa_tsp", "sa_tsp"]}}}, "twice: sa_tsp, sa_tsp"),
        ({"train_captioner": {"a b": {"features": ["sa_tsp"]}}}, "a name has small letters"),
        ({"propose_events": {"control": {"kind": "gt"}}}, "is not control or ensemble"),
        ({"pretrain_encoder": {"sa_tsp": {"clip": {"fps": 7.0}}}}, "clip.fps 7 must divide reencode.fps"),
        ({"pretrain_encoder": {"sa_tsp": {"freeze_stem": True}}}, "freeze_stem keeps a random stem"),
        ({"pretrain_encoder": {"sa_tsp": {"keep_heads": True}}}, "keep_heads: true needs initial_weights"),
        ({"select_captions": {"members": [{"captioner": "sa_tsp"}, {"captioner": "sa_tsp"}]}}, "same seed twice"),
        ({"select_captions": {"members": []}}, "select_captions.members"),
        ({"finetune_scst": {"proposals": "dbg"}}, "finetune_scst.proposals names 'dbg'; known: bmt, gt, learned"),
        ({"finetune_scst": {"baseline": "samples", "samples": 1}}, "needs samples: 2 or more"),
        ({"propose_events": {"learned": None}}, "lacks learned"),
        ({"propose_events": {"learned": {"proposer": "bmn"}}}, "learned.proposer names 'bmn'"),
        ({"train_proposer": {"learned": {"features": ["i3d"]}}}, "learned.features names 'i3d'"),
        ({"pretrain_encoder": {"sa_tsp": {"clip": {"crop": 500}}}}, "crop 500 exceeds"),
    ],
)
def test_load_config_reports_invalid_settings_in_one_line(over: dict[str, Any], expected: str) -> None:
    with pytest.raises(PipelineError) as error:
        load_config("demo", over, FOLDER)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300, "not the whole configuration"


def test_load_config_of_an_unknown_dataset_lists_the_datasets() -> None:
    with pytest.raises(PipelineError, match=r"no dataset 'nope'.*anet, demo"):
        load_config("nope", {}, FOLDER)


def test_load_config_of_invalid_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "config.yaml").write_text("reencode: {crf: 18")
    (tmp_path / "datasets" / "mine.yaml").write_text("")
    with pytest.raises(PipelineError, match=r"config\.yaml: not valid YAML"):
        load_config("mine", {}, tmp_path)


plain = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abcd"), plain, max_size=4)


@given(mappings, mappings)
def test_merge_settings_keeps_what_is_not_overridden_and_changes_neither_argument(base: Any, over: Any) -> None:
    before = repr(base), repr(over)
    merged = merge_settings(base, over)
    assert (repr(base), repr(over)) == before
    assert merged.keys() == base.keys() | over.keys()
    assert all(merged[key] == base[key] for key in base.keys() - over.keys())
    assert merge_settings(merged, over) == merged


def test_to_json_ignores_the_order_of_keys() -> None:
    first = Config.parse({"reencode": {"crf": 18, "gop": 30}}, "")
    second = Config.parse({"reencode": {"gop": 30, "crf": 18}}, "")
    assert first.to_json() == second.to_json()
    assert first.digest() != Config().digest()


@pytest.mark.parametrize(
    ("encoders", "expected"),
    [
        ({"sa_tsp": {"global_feature": {"feature": "nope"}}}, "pretrain_encoder.sa_tsp.global_feature.feature names"),
        ({"sa_tsp": {"global_feature": {"feature": "sa_tsp"}}}, "depends on itself: sa_tsp needs sa_tsp"),
        (
            {
                "sa_tsp": {"global_feature": {"feature": "initial"}},
                "initial": {"global_feature": {"feature": "sa_tsp"}},
            },
            "depends on itself: initial needs sa_tsp needs initial",
        ),
        ({"sa_tsp": {"global_feature": {"feature": "initial", "pool": "mean"}}}, "'mean' is not in pool_features"),
    ],
)
def test_an_encoder_must_not_depend_on_its_global_feature(encoders: dict[str, Any], expected: str) -> None:
    with pytest.raises(PipelineError, match=expected):
        load_config("demo", {"pretrain_encoder": encoders, "pool_features": {"pools": ["max"]}}, FOLDER)


@pytest.mark.parametrize(
    ("section", "name", "over"),
    [
        ("train_proposer", "learned", {"kind": "bmn", "features": ["sa_tsp"]}),
        ("propose_events", "learned", {"kind": "file", "path": "mine.json"}),
        ("extract_features", "sa_tsp", {"extractor": "tsp", "weights": "random"}),
        ("extract_features", "sa_tsp", {"file": "mine.h5", "fps": 15.0, "frames": 16, "stride": 16}),
    ],
)
def test_merge_settings_replaces_an_entry_of_another_kind(section: str, name: str, over: dict[str, Any]) -> None:
    loaded = load_config("demo", {section: {name: over}}, FOLDER).model_dump(mode="json")[section][name]
    kinds = {"boundary", "learned", "encoder"}
    assert over.items() <= loaded.items()
    assert not kinds & {loaded.get("kind"), *loaded}


def test_merge_settings_keeps_other_settings_of_an_entry_of_the_same_kind() -> None:
    over = {"train_proposer": {"learned": {"kind": "boundary", "epochs": 3}}}
    learned = load_config("demo", over, FOLDER).train_proposer["learned"].root
    assert learned.model_dump()["hidden"] == 128
    over = {"extract_features": {"i3d_rgb": {"extractor": "i3d_rgb", "stride": 32}}}
    assert (
        load_config("anet", over, FOLDER).extract_features["i3d_rgb"].model_dump()["weights"]
        == "weights/rgb_imagenet.pt"
    )
