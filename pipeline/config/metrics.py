"""The metrics of captions: one spec each. Config, tables, `--help` and documents list the metrics from here.

To add a metric, write a module with a class derived from `PairMetric` or `VideoMetric` of `pipeline.evaluation.metric`,
and add a spec below: see docs/recipes.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, create_model

from pipeline.config.base import Section, Settings
from pipeline.config.registry import NoSettings, Registry, Spec
from pipeline.errors import nearest


@dataclass(frozen=True)
class MetricSpec(Spec):
    """What the registry knows of a metric.

    Attributes:
        kind: `pair`: scores the matched (caption, reference) pairs of a video, at each tIoU threshold.
            `video`: scores all captions of a video against all references of an annotator, in time order.
        values: names of its values, in the order in which `score` returns them. In results, those of a pair metric are
            keys of their own; those of a video metric are under the name of the metric.
        headline: the value that stands for the metric in the report and in comparisons. Of a video metric, it is also
            the only value with an interval and with a score of each video.
        title: heading of its column in the report.
    """

    columns: ClassVar[tuple[str, ...]] = ("description", "kind")

    kind: Literal["pair", "video"]
    values: tuple[str, ...]
    headline: str
    title: str


class MeteorSettings(Section):
    """Settings of METEOR; SODA_c, which rests on METEOR, uses them too."""

    backend: Literal["own", "jar"] = Field(
        "own", description="own: built in, fast, the same scores as the jar; jar: the official Java program, slower"
    )


METRICS = Registry(
    "metric",
    [
        MetricSpec(
            name="METEOR",
            description="METEOR 1.5 (Denkowski and Lavie, 2014): matches of words, stems, synonyms and paraphrases",
            settings=MeteorSettings,
            build="pipeline.evaluation.meteor.metric:MeteorMetric",
            kind="pair",
            values=("METEOR",),
            headline="METEOR",
            title="METEOR",
        ),
        MetricSpec(
            name="CIDEr",
            description="CIDEr-D (Vedantam et al., 2015): TF-IDF cosine of n-grams, document frequencies of one video",
            settings=NoSettings,
            build="pipeline.evaluation.cider:CiderMetric",
            kind="pair",
            values=("CIDEr",),
            headline="CIDEr",
            title="CIDEr",
        ),
        MetricSpec(
            name="Bleu",
            description="BLEU-1 to BLEU-4 (Papineni et al., 2002): precision of n-grams",
            settings=NoSettings,
            build="pipeline.evaluation.bleu:BleuMetric",
            kind="pair",
            values=("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"),
            headline="Bleu_4",
            title="BLEU-4",
        ),
        MetricSpec(
            name="ROUGE_L",
            description="ROUGE-L (Lin, 2004): longest common subsequence",
            settings=NoSettings,
            build="pipeline.evaluation.rouge:RougeMetric",
            kind="pair",
            values=("ROUGE_L",),
            headline="ROUGE_L",
            title="ROUGE-L",
        ),
        MetricSpec(
            name="SODA_c",
            description="SODA_c (Fujita et al., 2020): F1 of the best alignment in time order, by tIoU times METEOR",
            settings=NoSettings,
            build="pipeline.evaluation.soda:SodaMetric",
            kind="video",
            values=("F1", "Precision", "Recall"),
            headline="F1",
            title="SODA_c",
        ),
    ],
)


def check_metric(name: str) -> str:
    """Return the name of a metric if the registry has it.

    Raises:
        ValueError: it has not; names the nearest metric.
    """
    if name not in METRICS:
        raise ValueError(f"no metric {name!r}{nearest(name, METRICS)}")
    return name


_FIELDS: dict[str, Any] = {
    name: (spec.settings, Field(spec.settings(), description=spec.description))
    for name, spec in METRICS.items()
    if spec.settings.model_fields
}
MetricSettings: type[Settings] = create_model("MetricSettings", __base__=Section, **_FIELDS)
"""The settings of each metric that has some, by its name."""
