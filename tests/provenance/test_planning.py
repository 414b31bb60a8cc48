"""Reasons and estimates of jobs, from what stands beside their outputs."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.provenance_tree import road

from pipeline.commands.plan import job_lines, span, total_lines
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.benchmarks import Benchmarks, estimate
from pipeline.provenance.code_hash import ROOT
from pipeline.provenance.jobs import Job, in_order
from pipeline.provenance.modules import keep_modules
from pipeline.provenance.overlays import changes, datasets_of, idle
from pipeline.provenance.reasons import why
from pipeline.provenance.record import beside
from pipeline.provenance.settings import changed_keys

VIDEO = "results/demo/video/0000/manifest.json"
CORPUS = "results/demo/corpus/manifest.json"
PARAMS = "Params have changed since last execution: Union of exclusive params before and now across all output"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(rule: str, output: str, reason: str, *inputs: str, settings: Any = None, gpus: int = 0, name: str = "") -> Job:
    command = f"python -m pipeline.{rule} --config '{json.dumps(settings)}' --output x > log 2>&1"
    dataset = Path(output).parts[1]
    benchmark = Path(f"results/{dataset}/benchmarks/{rule}{name and '/'}{name}.jsonl")
    paths = [Path(path) for path in inputs]
    return Job(rule, {"dataset": dataset}, paths, [Path(output)], benchmark, reason, command, gpus)


def benchmark(of: Job, **noted: Any) -> None:
    assert of.benchmark
    of.benchmark.parent.mkdir(parents=True, exist_ok=True)
    of.benchmark.write_text(json.dumps({"s": 1.0}) + "\n" + json.dumps(noted) + "\n")


def reasons(of: Job, **makers: str) -> list[str]:
    return [" ".join(reason).strip() for reason in why(of, {Path(path): rule for path, rule in makers.items()})]


def settings(**over: Any) -> dict[str, Any]:
    """Of the videos of `traced.road`, with some changed."""
    return Reencode(**{"crf": 16, **over}).model_dump(mode="json")


def test_what_is_missing_is_reason_enough() -> None:
    of = job("reencode", VIDEO, f"Missing output files: {VIDEO}; Input files updated by another job: {CORPUS}")
    assert reasons(of) == [f"not there yet {VIDEO}"]


def test_the_setting_that_changed_is_named_with_both_values() -> None:
    road(Path("results/demo"))
    changed = settings(crf=20, preset="slow")
    of = job("reencode", VIDEO, f"{PARAMS}: before: x now: y", settings=changed)
    before = Reencode().preset
    assert reasons(of) == ["setting reencode.crf: 16 -> 20", f'setting reencode.preset: "{before}" -> "slow"']


def test_other_parameters_that_changed_are_told_as_they_were() -> None:
    road(Path("results/demo"))
    of = job("reencode", VIDEO, f"{PARAMS}: before: x now: y", settings=settings())
    benchmark(of, s=2.0, params={"config": "{}", "present": "abc"})
    [told] = reasons(of)
    assert told.startswith("what the rule tells its command beside the settings has changed; it was")
    assert told.endswith('{"present": "abc"}')


def test_the_module_that_changed_is_named() -> None:
    road(Path("results/demo"))
    keep_modules("reencode", Path("results/.stamps"))
    record = read_json(beside(Path(VIDEO)))
    modules = read_json(Path(f"results/.stamps/modules/{record['code']}.json"))
    write_json(Path("results/.stamps/modules/0123.json"), modules | {"pipeline.video.encode": "other"})
    of = job("reencode", VIDEO, "Updated input files: results/.stamps/reencode.txt", settings=settings())
    assert reasons(of) == ["the stamp of the code is newer than the output, though the code is what made it"]
    write_json(beside(Path(VIDEO)), record | {"code": "0123"})
    assert reasons(of) == ["code pipeline.video.encode"]
    write_json(beside(Path(VIDEO)), record | {"code": "4567"})
    assert reasons(of) == ["code which module is not noted"]


def test_inputs_that_changed_are_named_and_rules_that_come_before() -> None:
    road(Path("results/demo"))
    reason = f"Updated input files: data/a.json, data/b.json; Input files updated by another job: {CORPUS}"
    of = job("reencode", VIDEO, reason, settings=settings())
    assert reasons(of, **{CORPUS: "build_corpus"}) == [
        "changed input data/a.json",
        "changed input data/b.json",
        "follows build_corpus",
    ]


def test_of_a_job_that_follows_it_is_told_what_else_has_changed() -> None:
    road(Path("results/demo"))
    encoder = "results/demo/encoders/sa_tsp/manifest.json"
    for shard in ("0000", "0001"):
        Path(f"results/demo/video/{shard}/manifest.json").write_text("{}")
    changed = PretrainEncoder(alpha=0.5).model_dump(mode="json")
    of = job("pretrain_encoder", encoder, f"Input files updated by another job: {VIDEO}", settings=changed)
    assert reasons(of, **{VIDEO: "reencode"}) == [
        "setting pretrain_encoder.alpha: 1.0 -> 0.5",
        "changed input results/demo/video/0001/manifest.json",
        "follows reencode",
    ]


def test_inputs_that_are_new_are_told_from_the_last_run() -> None:
    road(Path("results/demo"))
    reason = "Set of input files has changed since last execution"
    of = job("reencode", VIDEO, reason, "data/new.json", CORPUS, settings=settings())
    assert reasons(of) == ["other inputs than before"]
    benchmark(of, s=2.0, input_size_mb={CORPUS: 1.0, "data/old.json": 1.0})
    assert reasons(of) == ["new input data/new.json", "no longer an input data/old.json"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (f"Incomplete output files: {VIDEO}", f"was interrupted {VIDEO}"),
        ("Code has changed since last execution", "the rule's command has changed"),
        ("Forced execution", "Forced execution"),
    ],
)
def test_other_reasons_are_told_as_they_are(reason: str, said: str) -> None:
    road(Path("results/demo"))
    assert reasons(job("reencode", VIDEO, reason, settings=settings())) == [said]


def test_a_job_takes_what_it_took_last_else_what_its_rule_takes_on_this_dataset() -> None:
    clock = Benchmarks()
    jobs = [job("reencode", f"results/demo/video/{n}/manifest.json", "", name=n) for n in ("0000", "0001", "0002")]
    assert clock.seconds(jobs[0]) is None
    benchmark(jobs[0], s=10.0)
    benchmark(jobs[1], s=30.0)
    benchmark(job("reencode", "results/demography/video/0000/manifest.json", "", name="0000"), s=9999.0)
    assert [Benchmarks().seconds(each) for each in jobs] == [10.0, 30.0, 20.0]
    for name, seconds in (("demo_s7", 20.0), ("anet", None), ("demography", 9999.0)):
        assert Benchmarks().seconds(job("reencode", f"results/{name}/video/0003/manifest.json", "")) == seconds


def test_a_torn_benchmark_is_one_plain_line() -> None:
    of = job("reencode", VIDEO, "")
    benchmark(of, seconds=3)
    with pytest.raises(PipelineError, match=r"reencode\.jsonl: no benchmark as snakemake writes it; delete it"):
        Benchmarks().seconds(of)


def test_the_sum_knows_the_longest_chain_gpus_and_what_is_unknown() -> None:
    first = job("build_corpus", CORPUS, "")
    shards = [
        job("reencode", f"results/demo/video/{n}/manifest.json", "", CORPUS, gpus=2) for n in ("0000", "0001", "0002")
    ]
    jobs = in_order([*shards, first])
    assert jobs[0] == first
    found = estimate(jobs, [10.0, 1800.0, 3600.0, None])
    assert (found.seconds, found.chain, found.gpu_hours) == (5410.0, 3610.0, 3.0)
    assert found.unknown == {"reencode": 1}
    assert total_lines(jobs, found) == [
        "4 jobs in all",
        "90.2 min one after another, 60.2 min with any number of cores, 3 GPU-hours (from past runs on this dataset)",
        "time and GPU-hours unknown, since never run on this dataset: reencode (1)",
    ]


def test_reasons_that_jobs_share_are_told_once() -> None:
    road(Path("results/demo"))
    jobs = [
        job("reencode", f"results/demo/video/{n}/manifest.json", f"{PARAMS}: x", settings=settings(crf=20), name=n)
        for n in ("0000", "0001")
    ]
    missing = [
        job("probe_encoder", f"results/demo/p/{n}.json", f"Missing output files: results/demo/p/{n}.json")
        for n in "abcde"
    ]
    assert job_lines([*jobs, *missing], [60.0, 90.0, *[None] * 5]) == [
        "reencode                2 jobs   2.5 min",
        "    setting reencode.crf: 16 -> 20",
        "probe_encoder           5 jobs   time unknown",
        "    not there yet: results/demo/p/a.json, results/demo/p/b.json, results/demo/p/c.json and 2 more",
    ]


def test_times_are_told_as_people_say_them() -> None:
    assert [span(seconds) for seconds in (0.4, 119, 120, 7199, 7200)] == [
        "0 s",
        "119 s",
        "2.0 min",
        "120.0 min",
        "2.0 h",
    ]


def test_keys_are_compared_as_deep_as_both_go() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": True}, "gone": None}
    after = {"a": 1, "b": {"c": [1, 3], "d": 1}, "new": "x" * 99}
    assert [str(change) for change in changed_keys(before, after, "s")] == [
        "s.b.c: [1, 2] -> [1, 3]",
        "s.b.d: true -> 1",
        "s.gone: null -> (absent)",
        f's.new: (absent) -> "{"x" * 59}...',
    ]


def test_targets_name_their_datasets() -> None:
    targets = ["results/demo_s7_test_meteor.json", "results/anet/corpus/manifest.json", "results/nope_x.json", "all"]
    assert datasets_of(targets) == ["anet", "demo_s7"]


def test_an_overlay_is_told_by_what_it_changes_after_those_before_it() -> None:
    Path("one.yaml").write_text("reencode: {crf: 20}\n")
    Path("two.yaml").write_text("# other words\nreencode: {crf: 20, fps: 30}\n")
    Path("empty.yaml").write_text("")
    found = changes("demo", [Path("one.yaml"), Path("two.yaml"), Path("empty.yaml")])
    assert [[change.key for change in each] for each in found.values()] == [["reencode.crf"], [], []]


def test_overlays_may_be_right_only_together() -> None:
    names = [Path("reads.yaml"), Path("trains.yaml"), Path("same.yaml")]
    names[0].write_text("extract_features: {spare: {encoder: spare}}\n")
    names[1].write_text("pretrain_encoder: {spare: {alpha: 0.0}}\n")
    names[2].write_text("reencode: {fps: 30}\n")
    found = changes("demo", names)
    assert found.keys() == {*names[1:]}
    assert {change.key.split(".")[0] for change in found[names[1]]} == {"extract_features", "pretrain_encoder"}
    assert idle(["demo"], names) == [names[2]]
    with pytest.raises(PipelineError, match="spare"):
        changes("demo", names[:1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reencode: {cfr: 20}", "config: unknown key reencode.cfr"),
        ("reencode: [", "mine.yaml: not valid YAML"),
        ("- 3", "mine.yaml: expected a mapping"),
    ],
)
def test_a_wrong_overlay_is_one_plain_line(text: str, said: str) -> None:
    Path("mine.yaml").write_text(text)
    with pytest.raises(PipelineError, match=said):
        changes("demo", [Path("mine.yaml")])
