"""The contract of a metric, for every metric of the registry, and adding one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import METRICS, MetricSpec
from pipeline.config.registry import NoSettings
from pipeline.errors import PipelineError
from pipeline.evaluation import metric as metric_module
from pipeline.evaluation.evaluator import evaluate_caption_sets, format_caption_scores
from pipeline.evaluation.matching import PairDocument, VideoEvents
from pipeline.evaluation.metric import (
    DocumentScores,
    MetricContext,
    PairMetric,
    VideoDocument,
    VideoMetric,
    build_metrics,
    metric_identities,
    metric_libraries,
)

PAIRS: list[PairDocument] = [[("a man runs", "a man runs home")], [("a dog", "the dog"), ("", "a cat sleeps")]]
CAPTIONS = VideoEvents.from_rows([(0.0, 5.0, "a man runs"), (5.0, 9.0, "")])
REFERENCES = VideoEvents.from_rows([(0.0, 6.0, "a man runs home")])
DOCUMENTS: dict[str, list[Any]] = {"pair": PAIRS, "video": [VideoDocument(CAPTIONS, REFERENCES)] * 2}


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_every_metric_returns_the_values_of_its_spec_for_each_document(spec: MetricSpec) -> None:
    with MetricContext(Evaluate(metrics=[spec.name])) as context:
        scores = build_metrics(context)[spec.name].score(DOCUMENTS[spec.kind])
    assert tuple(scores) == spec.values
    assert spec.headline in spec.values
    for values in scores.values():
        assert values.shape == (2,)
        assert np.isfinite(values).all()
        assert (values >= 0).all()


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_every_metric_accepts_no_documents(spec: MetricSpec) -> None:
    with MetricContext(Evaluate(metrics=[spec.name])) as context:
        scores = build_metrics(context)[spec.name].score([])
    assert [values.shape for values in scores.values()] == [(0,)] * len(spec.values)


def test_metric_context_opens_a_shared_resource_once_and_closes_it() -> None:
    class Resource:
        is_open = False

        def __enter__(self) -> "Resource":
            assert not self.is_open
            self.is_open = True
            return self

        def __exit__(self, *error: object) -> None:
            self.is_open = False

    resource = Resource()
    with MetricContext(Evaluate()) as context:
        assert context.share("model", lambda: resource) is context.share("model", lambda: resource) is resource
        assert resource.is_open
    assert not resource.is_open


def test_metric_identities_are_those_of_the_metrics_of_the_settings() -> None:
    assert metric_identities(Evaluate(metrics=["CIDEr", "Bleu"])) == {}
    for name in ("METEOR", "SODA_c"):
        identity = metric_identities(Evaluate(metrics=[name]))
        assert identity["meteor"] == "own"
        assert identity["meteor_jar_sha256"].startswith("1e57b4c7")
    assert "pycocoevalcap" in metric_libraries()


def test_metric_identities_state_the_settings_of_metrics_that_are_no_defaults() -> None:
    assert "metric_settings" not in metric_identities(Evaluate(metrics=["METEOR"]))
    sections: list[dict[str, Any]] = [{"metrics": ["SODA_c"]}, {"metrics": ["CIDEr", "METEOR"]}]
    for section in sections:
        section["metric_settings"] = {"METEOR": {"backend": "jar"}}
        identity = metric_identities(Evaluate.parse(section, "evaluate"))
        assert identity["metric_settings"] == {"METEOR": {"backend": "jar"}}


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(PipelineError, match=r"evaluate\.metrics\.0.*'CIDER'.*'CIDEr'"):
        Evaluate.parse({"metrics": ["CIDER"]}, "evaluate")


class WordCount(PairMetric):
    """Mean number of words of the captions."""

    libraries = ("numpy",)

    def score(self, documents: Sequence[PairDocument]) -> DocumentScores:
        counts = [[len(caption.split()) for caption, _ in document] for document in documents]
        return {"WordCount": np.array([np.mean(row) for row in counts], np.float64)}


class EventCount(VideoMetric):
    """Number of captions of a video."""

    def score(self, documents: Sequence[VideoDocument]) -> DocumentScores:
        return {"events": np.array([len(document.captions.sentences) for document in documents], np.float64)}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add two metrics to the registry: their specs are all that the evaluator needs."""
    kinds: list[tuple[str, Literal["pair", "video"], str]] = [
        ("WordCount", "pair", "WordCount"),
        ("EventCount", "video", "events"),
    ]
    for name, kind, value in kinds:
        build = f"pipeline.added:{name}"
        spec = MetricSpec(name, "added by a test", NoSettings, build, kind, (value,), value, name)
        monkeypatch.setitem(METRICS._specs, name, spec)
    classes = {"WordCount": WordCount, "EventCount": EventCount}
    load = MetricSpec.load
    monkeypatch.setattr(MetricSpec, "load", lambda spec: classes.get(spec.name) or load(spec))
    yield


def test_a_metric_is_added_by_its_spec_alone(added: None) -> None:
    references = {
        "v_a": VideoEvents.from_rows([(0.0, 9.0, "one two three")]),
        "v_b": VideoEvents.from_rows([(0.0, 9.0, "one")]),
    }
    captions = {"v_a": VideoEvents.from_rows([(0.0, 9.0, "one two"), (0.0, 8.0, "one two three four")])}
    settings = Evaluate(metrics=["WordCount", "EventCount"], bootstrap=20)
    scores = evaluate_caption_sets({"captions": captions}, [references], settings)["captions"]
    summary = scores.summary()
    assert summary["WordCount"]["0.3"] == 1.5  # v_b has no captions
    assert summary["EventCount"] == {"events": 2.0}  # v_b does not count
    assert set(summary["intervals"]) == {"method", "WordCount", "EventCount", "Precision", "Recall", "F1"}
    table = scores.per_video_table()
    assert table["WordCount"] == [3.0, 0.0]
    assert table["EventCount"] == [2.0, None]
    lines = [line.split()[:2] for line in format_caption_scores({"captions": summary}).splitlines()]
    assert ["captions", "WordCount"] in lines
    assert ["captions", "EventCount"] in lines


def test_build_metrics_refuses_a_class_of_another_kind(added: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MetricSpec, "load", lambda spec: EventCount)
    with MetricContext(Evaluate(metrics=["WordCount"])) as context, pytest.raises(TypeError, match="PairMetric"):
        metric_module.build_metrics(context)


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_the_documentation_lists_every_metric(spec: MetricSpec) -> None:
    text = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    assert f"| `{spec.name}` | {spec.description} | {spec.kind} |" in text
