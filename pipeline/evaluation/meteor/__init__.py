"""METEOR 1.5 for English, as the official evaluators of captions use it.

Denkowski and Lavie, "Meteor Universal: Language Specific Translation Evaluation for Any Target Language", 2014.
`Meteor` is ours, `JarMeteor` the original; their statistics are equal, pair by pair.
"""

from pipeline.evaluation.meteor.engine import Meteor
from pipeline.evaluation.meteor.formula import Pair, Scorer, Stats, aggregate, scores
from pipeline.evaluation.meteor.jar import JarMeteor

__all__ = ["JarMeteor", "Meteor", "Pair", "Scorer", "Stats", "aggregate", "scores"]
