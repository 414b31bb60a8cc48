"""METEOR 1.5 for English, as the official evaluators of captions use it.

Denkowski and Lavie, "Meteor Universal: Language Specific Translation Evaluation for Any Target Language", 2014.
`Meteor` is built in, `JarMeteor` runs the original; the statistics of every pair are equal.
"""

from pipeline.evaluation.meteor.engine import Meteor
from pipeline.evaluation.meteor.formula import MeteorScorer, Pair, Stats, aggregate, best_references, meteor_scores
from pipeline.evaluation.meteor.jar import JarMeteor

__all__ = ["JarMeteor", "Meteor", "MeteorScorer", "Pair", "Stats", "aggregate", "best_references", "meteor_scores"]
