"""Reasons and estimates of jobs, from the records of their outputs."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.provenance_tree import write_tree

from pipeline.commands.plan import job_lines, total_lines
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.benchmarks import Benchmarks
from pipeline.provenance.code_hash import ROOT, write_module_record
from pipeline.provenance.computation import Computation
from pipeline.provenance.jobs import Job, sort_jobs
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.reasons import find_reasons
from pipeline.provenance.record import record_path
from pipeline.provenance.settings import changed_keys, datasets_of_targets, ineffective_overlays, overlay_changes

VIDEO = "results/demo/video/0000/manifest.json"
CORPUS = "results/demo/corpus/manifest.json"
PARAMS = "Params have changed since last execution: Union of exclusive params before and now across all output"


@pytest.fixture(autouse=True)
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_job(
    rule: str, output: str, reason: str, *inputs: str, settings: Any = None, gpus: int = 0, name: str = ""
) -> Job:
    command = f"python -m pipeline.{rule} --config '{json.dumps(settings)}' --output x > log 2>&1"
    dataset = Path(output).parts[1]
    benchmark = Path(f"results/{dataset}/benchmarks/{rule}{name and '/'}{name}.jsonl")
    paths = [Path(path) for path in inputs]
    return Job(rule, {"dataset": dataset}, paths, [Path(output)], benchmark, reason, command, gpus)


def write_benchmark(job: Job, **entry: Any) -> None:
    assert job.benchmark
    job.benchmark.parent.mkdir(parents=True, exist_ok=True)
    job.benchmark.write_text(json.dumps({"s": 1.0}) + "\n" + json.dumps(entry) + "\n")


def estimate_seconds(job: Job) -> float | None:
    return Benchmarks().estimate_seconds(job.benchmark, job.rule, job.wildcards["dataset"])


def reasons(job: Job, **producers: str) -> list[str]:
    paths = {Path(path): rule for path, rule in producers.items()}
    return [" ".join(reason).strip() for reason in find_reasons(job, paths)]


def settings(**over: Any) -> dict[str, Any]:
    """Return the settings of the videos of `write_tree`, with changes."""
    return Reencode(**{"crf": 16, **over}).model_dump(mode="json")


def test_a_missing_output_is_the_only_reason() -> None:
    job = make_job("reencode", VIDEO, f"Missing output files: {VIDEO}; Input files updated by another job: {CORPUS}")
    assert reasons(job) == [f"missing output {VIDEO}"]


def test_a_missing_output_that_was_finished_before_is_named_so() -> None:
    write_manifest(Path(VIDEO), [], {})
    Computation("reencode", Reencode(), [], [Path(VIDEO)]).keep_outputs()
    missing = f"Missing output files: {VIDEO}"
    assert reasons(make_job("reencode", VIDEO, missing, settings={})) == [
        f"missing output, but finished before {VIDEO}"
    ]
    interrupted = make_job("reencode", VIDEO, f"Incomplete output files: {VIDEO}", settings={})
    assert f"interrupted before, but finished before {VIDEO}" in reasons(interrupted)
    changed = make_job("reencode", VIDEO, missing, settings={"crf": 3})
    assert reasons(changed) == [f"missing output {VIDEO}"]


def test_a_changed_setting_is_named_with_both_values() -> None:
    write_tree(Path("results/demo"))
    changed = settings(crf=20, preset="slow")
    job = make_job("reencode", VIDEO, f"{PARAMS}: before: x now: y", settings=changed)
    before = Reencode().preset
    assert reasons(job) == ["setting reencode.crf: 16 -> 20", f'setting reencode.preset: "{before}" -> "slow"']


def test_changed_parameters_of_a_rule_are_shown_as_they_were() -> None:
    write_tree(Path("results/demo"))
    job = make_job("reencode", VIDEO, f"{PARAMS}: before: x now: y", settings=settings())
    write_benchmark(job, s=2.0, params={"config": "{}", "present": "abc"})
    [reason] = reasons(job)
    assert reason.startswith("changed parameters of the rule")
    assert reason.endswith('{"present": "abc"}')


def test_a_changed_module_is_named() -> None:
    write_tree(Path("results/demo"))
    write_module_record("reencode", Path("results/.stamps"))
    record = read_json(record_path(Path(VIDEO)))
    modules = read_json(Path(f"results/.stamps/modules/{record['code']}.json"))
    write_json(Path("results/.stamps/modules/0123.json"), modules | {"pipeline.video.encode": "other"})
    job = make_job("reencode", VIDEO, "Updated input files: results/.stamps/reencode.txt", settings=settings())
    assert reasons(job) == ["stamp file newer than the output, with an equal code hash"]
    write_json(record_path(Path(VIDEO)), record | {"code": "0123"})
    assert reasons(job) == ["code pipeline.video.encode"]
    write_json(record_path(Path(VIDEO)), record | {"code": "4567"})
    assert reasons(job) == ["code no record of the modules"]


def test_changed_inputs_and_upstream_rules_are_named() -> None:
    write_tree(Path("results/demo"))
    reason = f"Updated input files: data/a.json, data/b.json; Input files updated by another job: {CORPUS}"
    job = make_job("reencode", VIDEO, reason, settings=settings())
    assert reasons(job, **{CORPUS: "build_corpus"}) == [
        "changed input data/a.json",
        "changed input data/b.json",
        "runs after build_corpus",
    ]


def test_other_changes_of_a_job_that_runs_after_another_are_named() -> None:
    write_tree(Path("results/demo"))
    encoder = "results/demo/encoders/sa_tsp/manifest.json"
    for shard in ("0000", "0001"):
        Path(f"results/demo/video/{shard}/manifest.json").write_text("{}")
    changed = EncoderEntry(batch_size=16).model_dump(mode="json")
    job = make_job("pretrain_encoder", encoder, f"Input files updated by another job: {VIDEO}", settings=changed)
    assert reasons(job, **{VIDEO: "reencode"}) == [
        "setting pretrain_encoder.batch_size: 32 -> 16",
        "changed input results/demo/video/0001/manifest.json",
        "runs after reencode",
    ]


def test_added_and_removed_inputs_are_named_from_the_last_run() -> None:
    write_tree(Path("results/demo"))
    reason = "Set of input files has changed since last execution"
    job = make_job("reencode", VIDEO, reason, "data/new.json", CORPUS, settings=settings())
    assert reasons(job) == ["changed set of inputs"]
    write_benchmark(job, s=2.0, input_size_mb={CORPUS: 1.0, "data/old.json": 1.0})
    assert reasons(job) == ["new input data/new.json", "removed input data/old.json"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (f"Incomplete output files: {VIDEO}", f"interrupted before {VIDEO}"),
        ("Code has changed since last execution", "changed command of the rule"),
        ("Forced execution", "Forced execution"),
    ],
)
def test_other_reasons_are_shown_unchanged(reason: str, expected: str) -> None:
    write_tree(Path("results/demo"))
    assert reasons(make_job("reencode", VIDEO, reason, settings=settings())) == [expected]


def test_the_time_of_a_job_is_its_last_one_or_the_median_of_its_rule_on_the_dataset() -> None:
    jobs = [make_job("reencode", f"results/demo/video/{n}/manifest.json", "", name=n) for n in ("0000", "0001", "0002")]
    assert estimate_seconds(jobs[0]) is None
    write_benchmark(jobs[0], s=10.0)
    write_benchmark(jobs[1], s=30.0)
    write_benchmark(make_job("reencode", "results/demography/video/0000/manifest.json", "", name="0000"), s=9999.0)
    assert [estimate_seconds(job) for job in jobs] == [10.0, 30.0, 20.0]
    for name, seconds in (("demo_s7", 20.0), ("anet", None), ("demography", 9999.0)):
        assert estimate_seconds(make_job("reencode", f"results/{name}/video/0003/manifest.json", "")) == seconds


def test_a_damaged_benchmark_file_is_one_error_with_its_path() -> None:
    job = make_job("reencode", VIDEO, "")
    write_benchmark(job, seconds=3)
    with pytest.raises(PipelineError, match=r"reencode\.jsonl: .*delete it"):
        estimate_seconds(job)


def test_total_has_the_critical_path_gpu_hours_and_unknown_times() -> None:
    first = make_job("build_corpus", CORPUS, "")
    shards = [
        make_job("reencode", f"results/demo/video/{n}/manifest.json", "", CORPUS, gpus=2)
        for n in ("0000", "0001", "0002")
    ]
    jobs = sort_jobs([*shards, first])
    assert jobs[0] == first
    assert total_lines(jobs, [10.0, 1800.0, 3600.0, None]) == [
        "total: 4 jobs",
        "90.2 min one after another, 60.2 min with unlimited cores, 3 GPU-hours (from past runs on this dataset)",
        "time and GPU-hours unknown until a job of the rule has run on this dataset: reencode (1)",
    ]


def test_common_reasons_of_jobs_are_shown_once() -> None:
    write_tree(Path("results/demo"))
    jobs = [
        make_job("reencode", f"results/demo/video/{n}/manifest.json", f"{PARAMS}: x", settings=settings(crf=20), name=n)
        for n in ("0000", "0001")
    ]
    missing = [
        make_job("probe_encoder", f"results/demo/p/{n}.json", f"Missing output files: results/demo/p/{n}.json")
        for n in "abcde"
    ]
    assert job_lines([*jobs, *missing], [60.0, 90.0, *[None] * 5]) == [
        "reencode                2 jobs   2.5 min",
        "    setting reencode.crf: 16 -> 20",
        "probe_encoder           5 jobs   time unknown",
        "    missing output: results/demo/p/a.json, results/demo/p/b.json, results/demo/p/c.json and 2 more",
    ]


def test_changed_keys_compares_mappings_at_every_depth() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": True}, "gone": None}
    after = {"a": 1, "b": {"c": [1, 3], "d": 1}, "new": "x" * 99}
    assert [str(change) for change in changed_keys(before, after, "s")] == [
        "s.b.c: [1, 2] -> [1, 3]",
        "s.b.d: true -> 1",
        "s.gone: null -> (absent)",
        f's.new: (absent) -> "{"x" * 59}...',
    ]


def test_datasets_of_targets_returns_existing_datasets() -> None:
    targets = ["results/demo_s7_test_meteor.json", "results/anet/corpus/manifest.json", "results/nope_x.json", "all"]
    assert datasets_of_targets(targets) == ["anet", "demo_s7"]


def test_overlay_changes_are_relative_to_the_files_before() -> None:
    Path("one.yaml").write_text("reencode: {crf: 20}\n")
    Path("two.yaml").write_text("# a comment\nreencode: {crf: 20, fps: 30}\n")
    Path("empty.yaml").write_text("")
    changes = overlay_changes("demo", [Path("one.yaml"), Path("two.yaml"), Path("empty.yaml")])
    assert [[change.key for change in each] for each in changes.values()] == [["reencode.crf"], [], []]


def test_overlays_may_be_valid_only_together() -> None:
    names = [Path("reads.yaml"), Path("trains.yaml"), Path("same.yaml")]
    names[0].write_text("extract_features: {spare: {encoder: spare}}\n")
    names[1].write_text("pretrain_encoder: {spare: {batch_size: 16}}\n")
    names[2].write_text("reencode: {fps: 30}\n")
    changes = overlay_changes("demo", names)
    assert changes.keys() == {*names[1:]}
    assert {change.key.split(".")[0] for change in changes[names[1]]} == {"extract_features", "pretrain_encoder"}
    assert ineffective_overlays(["demo"], names) == [names[2]]
    with pytest.raises(PipelineError, match="spare"):
        overlay_changes("demo", names[:1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reencode: {cfr: 20}", "config: unknown key reencode.cfr"),
        ("reencode: [", "mine.yaml: not valid YAML"),
        ("- 3", "mine.yaml: expected a mapping"),
    ],
)
def test_an_invalid_overlay_is_one_error(text: str, expected: str) -> None:
    Path("mine.yaml").write_text(text)
    with pytest.raises(PipelineError, match=expected):
        overlay_changes("demo", [Path("mine.yaml")])
