"""METEOR as a metric of the evaluator: its backend, its identity, one scorer for all metrics that use it."""

from collections.abc import Sequence
from typing import Any

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.java import find_jar, hash_jar
from pipeline.evaluation.matching import PairDocument
from pipeline.evaluation.meteor import paraphrases, words
from pipeline.evaluation.meteor.engine import Meteor
from pipeline.evaluation.meteor.formula import MeteorScorer
from pipeline.evaluation.meteor.jar import JarMeteor
from pipeline.evaluation.metric import DocumentScores, MetricContext, PairMetric


def open_meteor(context: MetricContext) -> MeteorScorer:
    """Open the METEOR of the settings once per context."""
    settings = context.settings

    def start() -> MeteorScorer:
        if settings.settings_of("METEOR").backend == "jar":
            return JarMeteor(settings.timeout_s)
        return Meteor(settings.timeout_s, settings.workers)

    return context.share("meteor", start)


class MeteorMetric(PairMetric):
    """METEOR of the pairs of each document, taken as one corpus."""

    libraries = ("pycocoevalcap",)

    def __init__(self, context: MetricContext) -> None:
        super().__init__(context)
        self._meteor = open_meteor(context)

    @classmethod
    def identity(cls, settings: Evaluate) -> dict[str, Any]:
        """Return the backend, and the checksums of METEOR's program and paraphrases."""
        return {
            "meteor": settings.settings_of("METEOR").backend,
            "meteor_jar_sha256": hash_jar(find_jar(words.JAR)),
            "paraphrases_sha256": hash_jar(find_jar(paraphrases.TABLE)),
        }

    def score(self, documents: Sequence[PairDocument]) -> DocumentScores:
        """Score documents."""
        return {"METEOR": self._meteor.aggregate(documents)}
