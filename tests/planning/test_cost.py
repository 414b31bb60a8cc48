"""What jobs cost: amounts of work from the settings, rates of cards, and the user's own past jobs."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.build_corpus import ValidationSplitFractions
from pipeline.config.load import CONFIG, Config, load_config, stages
from pipeline.monitor.schedule import Capacity, PlannedJob, simulate
from pipeline.planning.corpus_size import CorpusSize, assume_size
from pipeline.planning.cost import CostModel, JobCost
from pipeline.planning.machine import Machine
from pipeline.planning.rates import shipped_rates
from pipeline.planning.work import JobContext, WorkPart, count_feature_bytes, find_work
from pipeline.provenance.code_hash import ROOT
from pipeline.provenance.jobs import Job

SIZE = CorpusSize({"train": 100.0, "enlarged": 40.0, "val": 10.0, "test": 20.0}, 17_000.0, 4.0, 2.0)
NODE = Machine(cores=8, gpus=2, card="h100")


@pytest.fixture(autouse=True)
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("anet", {}, ROOT / CONFIG)


def work(config: Config, rule: str, entry: Any, size: CorpusSize = SIZE, **wildcards: str) -> list[WorkPart]:
    return find_work(rule, JobContext(getattr(entry, "root", entry), {"dataset": "anet", **wildcards}, size, config))


def amounts(parts: list[WorkPart]) -> dict[str, float]:
    return {part.unit if part.is_main else part.kind: part.amount for part in parts}


def test_a_stated_size_is_divided_like_activitynet() -> None:
    size = assume_size(19_994, 650.0, ValidationSplitFractions(enlarged=0.5, val=0.25, test=0.25))
    assert size.videos == pytest.approx(
        {"train": 10_024, "enlarged": 2_463, "val": 1_231.5, "test": 1_231.5, "submission": 5_044}
    )
    assert size.seconds == 650 * 3600


def test_the_work_of_pretraining_is_its_clips_and_their_decoding(config: Config) -> None:
    entry = config.pretrain_encoder["sa_tsp"].model_copy(update={"epochs": 3, "val_splits": ["val"], "workers": 4})
    clips = 3 * (100 + 10) * 2 * entry.clips_per_segment * 2  # as many background clips as clips of segments
    assert amounts(work(config, "pretrain_encoder", entry)) == {"clips": clips, "loading": clips / 4}
    one_loss = type(entry).model_validate(entry.model_dump() | {"losses": {"action": 1.0}})
    assert amounts(work(config, "pretrain_encoder", one_loss))["clips"] == clips / 2
    cached = entry.model_copy(update={"cache_gb": 9.0})
    assert amounts(work(config, "pretrain_encoder", cached)) == {"clips": clips}
    rehearsed = entry.model_copy(update={"steps_per_epoch": 2})
    assert amounts(work(config, "pretrain_encoder", rehearsed))["clips"] == 3 * 2 * 32 * 2
    untrained = entry.model_copy(update={"epochs": 0})
    assert amounts(work(config, "pretrain_encoder", untrained))["clips"] == 0


def test_the_work_of_a_feature_is_its_rows_and_the_frames_of_its_shard(config: Config) -> None:
    shards = config.build_corpus.shards
    features = config.extract_features
    parts = work(config, "extract_features", features["sa_tsp"], shard="0001")
    assert amounts(parts) == pytest.approx({"rows": 17_000 * 15 / 16 / shards, "decoding": 17_000 * 30 / shards})
    assert parts[0].kind == "r2plus1d_34"
    sound = work(config, "extract_features", features["vggish"], shard="0001")
    assert amounts(sound) == pytest.approx({"rows": 17_000 * 16_000 / 15_360 / shards})


def test_the_size_of_a_feature_follows_from_its_rows_and_channels(config: Config) -> None:
    context = JobContext(config.extract_features["sa_tsp"].root, {"shard": "0001"}, SIZE, config)
    assert count_feature_bytes(context) == pytest.approx(17_000 * 15 / 16 / config.build_corpus.shards * 512 * 4)


def test_the_work_of_captioners_is_counted_in_steps_of_sixteen_events(config: Config) -> None:
    entry = config.train_captioner["sa_tsp_i3d_vggish"].root
    parts = work(config, "train_captioner", entry, captioner="sa_tsp_i3d_vggish", seed="0")
    assert parts == [WorkPart("event_lstm, hidden 512", "steps of 16 events", 140 * entry.epochs)]
    many = entry.model_copy(update={"batch_videos": 10})
    assert work(config, "train_captioner", many, captioner="sa_tsp", seed="0")[0].amount == 14 * entry.epochs * 40 / 16
    scst = config.finetune_scst
    [part] = work(config, "finetune_scst", scst, captioner="sa_tsp", seed="0")
    assert part.amount == 140 * scst.epochs * 24 * 4 / 16
    annotated = scst.model_copy(update={"proposals": "gt"})
    assert work(config, "finetune_scst", annotated, captioner="sa_tsp", seed="0")[0].amount == 140 * scst.epochs


def test_the_work_of_captioning_is_the_number_of_proposals(config: Config) -> None:
    section, wildcards = config.generate_captions, {"captioner": "sa_tsp", "split": "test"}
    annotated = work(config, "generate_captions", section, proposals="gt", **wildcards)
    assert annotated == [WorkPart("event_lstm, hidden 512, greedy", "captions", 20 * 4)]
    learned = work(config, "generate_captions", section, proposals="learned", **wildcards)
    assert learned[0].amount == 20 * config.propose_events["learned"].root.max_proposals
    beam = section.model_copy(update={"decoding": "beam"})
    assert work(config, "generate_captions", beam, proposals="gt", **wildcards)[0].kind.endswith("beam of 5")


@pytest.mark.parametrize("stage", stages())
def test_every_stage_has_some_work(config: Config, stage: str) -> None:
    section = getattr(config, stage)
    entry = next(iter(section.values()), None) if isinstance(section, dict) else section
    wildcards = {"feature": "sa_tsp", "captioner": "sa_tsp", "proposals": "gt", "split": "test", "shard": "0000"}
    assert work(config, stage, entry, **wildcards)[0].amount >= 0


def make_job(rule: str, entry: Any, gpus: int = 0, name: str = "x", **wildcards: str) -> Job:
    command = f"python -m pipeline.{rule} --config '{entry.to_json()}'"
    benchmark = Path(f"results/anet/benchmarks/{rule}/{name}.jsonl")
    return Job(rule, {"dataset": "anet", **wildcards}, [], [Path(f"{rule}-{name}")], benchmark, "", command, gpus)


def estimate(config: Config, job: Job, machine: Machine = NODE, size: CorpusSize = SIZE) -> JobCost:
    return CostModel(machine, shipped_rates(), {"anet": size}, {"anet": config}, Path("results")).estimate_job(job)


def test_a_job_takes_as_long_as_its_slowest_part(config: Config) -> None:
    rates = shipped_rates()
    entry = config.pretrain_encoder["sa_tsp"]
    cost = estimate(config, make_job("pretrain_encoder", entry, gpus=1, encoder="sa_tsp"))
    clips = work(config, "pretrain_encoder", entry)[0].amount
    loading = rates.find("pretrain_encoder", "loading", "cpu")
    assert loading
    assert cost.seconds == pytest.approx(rates.start_s + clips / entry.workers / loading.per_second)
    assert (cost.limit.kind, cost.source) == ("loading", "derived")
    more = type(entry).model_validate(entry.model_dump() | {"workers": 64})
    limited = estimate(config, make_job("pretrain_encoder", more, gpus=1, encoder="sa_tsp"))
    network = rates.find("pretrain_encoder", "r2plus1d_34, float32", "h100")
    assert network
    assert limited.seconds == pytest.approx(rates.start_s + clips / network.per_second)


def test_a_kind_without_a_rate_has_no_time(config: Config) -> None:
    slow = {"tagger": "en_core_web_sm"}
    cost = estimate(config, make_job("mine_concepts", type(config.mine_concepts).model_validate(slow)))
    assert (cost.seconds, cost.source, cost.limit.kind) == (None, None, "en_core_web_sm")
    flow = make_job("extract_features", config.extract_features["i3d_flow"], gpus=1, shard="0000")
    assert estimate(config, flow, Machine(cores=8, gpus=0, card="h100")).seconds is None


def write_past_job(job: Job, seconds: float, settings: Any, log: str = "") -> None:
    assert job.benchmark
    entry = {"s": seconds, "wildcards": job.wildcards, "params": {"config": settings.to_json()}}
    job.benchmark.parent.mkdir(parents=True, exist_ok=True)
    job.benchmark.write_text(json.dumps(entry) + "\n")
    path = Path(str(job.benchmark).replace("benchmarks", "logs")).with_suffix(".log")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log)


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of past jobs that has half the videos."""
    half = CorpusSize({split: count / 2 for split, count in SIZE.videos.items()}, SIZE.seconds / 2, 4.0, 2.0)
    manifest = Path("results/anet/corpus/manifest.json")
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    monkeypatch.setattr("pipeline.planning.past_jobs.measure_size", lambda _: half)


@pytest.mark.usefixtures("corpus")
def test_a_past_job_counts_more_than_a_rate_and_is_scaled_by_its_work(config: Config) -> None:
    entry = config.pretrain_encoder["sa_tsp"]
    job = make_job("pretrain_encoder", entry, gpus=1, encoder="sa_tsp")
    write_past_job(job, 100.0, type(entry).model_validate(entry.model_dump() | {"epochs": 2}), "GPUs 0\nmore\n")
    cost = estimate(config, job)
    assert cost.source == "past jobs"
    assert cost.seconds == pytest.approx(3 + 97 * entry.epochs / 2 * 2)  # more epochs, twice the videos
    on_cpu = Machine(cores=8, gpus=0, card="h100")
    assert estimate(config, job, on_cpu).source is None, "a job on a GPU tells nothing about a CPU"


@pytest.mark.usefixtures("corpus")
def test_other_past_jobs_of_the_same_kind_give_the_median_rate(config: Config) -> None:
    feature = config.extract_features["i3d_rgb"]
    jobs = [
        make_job("extract_features", feature, gpus=1, name=f"i3d_rgb-{n}", shard=n) for n in ("0000", "0001", "0002")
    ]
    for job, seconds in zip(jobs, (10.0, 20.0, 90.0), strict=True):
        write_past_job(job, seconds, feature, "GPUs 1\n")
    other = make_job("extract_features", feature, gpus=1, name="i3d_rgb-0003", shard="0003")
    assert estimate(config, other).seconds == pytest.approx(3 + 17 * 2)
    another = make_job("extract_features", config.extract_features["vggish"], gpus=1, name="vggish-0", shard="0000")
    assert estimate(config, another).source == "measured"


@pytest.mark.usefixtures("corpus")
def test_a_past_job_with_settings_of_another_version_is_left_out(config: Config) -> None:
    job = make_job("build_corpus", config.build_corpus)
    write_past_job(job, 50.0, config.reencode)
    assert estimate(config, job).source == "measured"


def test_the_simulation_agrees_with_a_real_run_of_the_demo_within_a_quarter() -> None:
    run = json.loads((ROOT / "tests" / "planning" / "demo_run.json").read_text())
    jobs = [
        PlannedJob(index, job["rule"].split()[0], {}, needs=frozenset(job["needs"]), threads=job["threads"])
        for index, job in enumerate(run["jobs"])
    ]
    seconds = {index: job["seconds"] for index, job in enumerate(run["jobs"])}
    assert simulate(jobs, seconds, [], Capacity(2)) == pytest.approx(run["clock_s"], rel=0.25)
    assert sum(seconds.values()) > 1.25 * run["clock_s"], "one after another, the jobs take longer"


def test_a_run_sums_what_is_measured_and_names_the_rest(config: Config) -> None:
    reencode = [make_job("reencode", config.reencode, name=shard, shard=shard) for shard in ("0000", "0001", "0002")]
    unknown = make_job("mine_concepts", config.mine_concepts)
    cost = CostModel(
        Machine(2, 0, "h100"), shipped_rates(), {"anet": SIZE}, {"anet": config}, Path("results")
    ).estimate_run([*reencode, unknown])
    one = cost.jobs[0].seconds
    assert one
    assert cost.seconds == pytest.approx(2 * one), "three jobs on two cores"
    assert [job.job.rule for job in cost.jobs if job.seconds is None] == ["mine_concepts"]
    assert cost.disk_bytes == pytest.approx(3 * SIZE.seconds / config.build_corpus.shards * shipped_rates().video_bytes)
    assert [job.job.rule for job in cost.critical_path] == ["reencode"]
