"""The rungs of a ladder: what each scores, and what it adds to the one before."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pipeline.comparison.origins import beginnings, seconds
from pipeline.comparison.scored import Scored, corpus_of, score
from pipeline.comparison.tables import gain
from pipeline.config.climb_ladder import ClimbLadder, Rung
from pipeline.config.select_captions import Member
from pipeline.evaluation.comparison import spread
from pipeline.io.atomic import sha256

STAGE = "climb_ladder"
Proposals = Literal["gt", "learned"]
PROPOSALS: tuple[Proposals, ...] = ("gt", "learned")
LEFT_OUT = ("Bleu_1", "Bleu_2", "Bleu_3")
"""Scores that nobody reports."""


@dataclass(frozen=True)
class Foot:
    """One corpus that the ladder stands on.

    Attributes:
        folder: results of the dataset.
        captions: file by rung and proposals.
        scored: its scores; captions are named `<rung> <proposals>`.
    """

    folder: Path
    captions: dict[str, dict[Proposals, Path]]
    scored: Scored

    @property
    def inputs(self) -> list[Path]:
        """The declared outputs of earlier stages that were read, each once."""
        return [corpus_of(self.folder), *{path: None for files in self.captions.values() for path in files.values()}]

    @property
    def metrics(self) -> list[str]:
        """What captions are scored by."""
        return [metric for metric in self.scored.values if metric not in LEFT_OUT]


Feet = Sequence[Foot]


def read_feet(dataset: Path, config: ClimbLadder) -> list[Foot]:
    """Read and score every corpus.

    Args:
        dataset: `results/<dataset>`; see `ClimbLadder.datasets` for what stands beside it.
        config: which rungs.

    Raises:
        PipelineError: something is not there, or there is nothing to score.
    """
    return [_read(dataset.with_name(name), config) for name in config.datasets(dataset.name)]


def _read(folder: Path, config: ClimbLadder) -> Foot:
    captions: dict[str, dict[Proposals, Path]] = {
        rung.name: {kind: folder / "captions" / f"{rung.label}-{config.split}-{kind}.json" for kind in PROPOSALS}
        for rung in config.rungs
    }
    named = {f"{rung} {kind}": path for rung, files in captions.items() for kind, path in files.items()}
    return Foot(folder, captions, score(folder, named, config.split, config.scores))


def rungs(feet: Feet, config: ClimbLadder) -> list[dict[str, Any]]:
    """Of each rung its name, members, the paper's row, and its scores with either kind of proposals."""
    return [
        {
            "name": rung.name,
            "members": [member.label for member in rung.members],
            "paper": rung.paper.model_dump(),
            **{
                kind: {
                    metric: spread(
                        [foot.scored.values[metric][f"{rung.name} {kind}"] for foot in feet], config.scores.bootstrap
                    )
                    for metric in feet[0].metrics
                }
                for kind in PROPOSALS
            },
        }
        for rung in config.rungs
    ]


def differences(feet: Feet, config: ClimbLadder) -> list[dict[str, Any]]:
    """How much more each rung has than the one before, on the same videos of each corpus."""
    found = []
    for than, rung in pairwise(config.rungs):
        row: dict[str, Any] = {"rung": rung.name, "than": than.name}
        row["paper"] = {
            kind: None if lower is None or upper is None else round(upper - lower, 2)
            for kind in PROPOSALS
            for lower, upper in [(getattr(than.paper, kind), getattr(rung.paper, kind))]
        }
        for kind in PROPOSALS:
            row[kind] = {}
            for metric in feet[0].metrics:
                of = [foot.scored.values[metric] for foot in feet]
                gains = [values[f"{rung.name} {kind}"] - values[f"{than.name} {kind}"] for values in of]
                row[kind][metric] = spread(gains, config.scores.bootstrap)
        found.append(row)
    return found


def origins(feet: Feet, config: ClimbLadder) -> dict[str, Any]:
    """What was compared, by what code and settings.

    Returns:
        settings of the ladder; made: for each corpus and rung the digests of captions, and of the seconds that its
        members took; besides, what `beginnings` gives.
    """
    return {
        "settings": config.model_dump(mode="json"),
        "made": {foot.folder.name: {rung.name: _made(foot, rung) for rung in config.rungs} for foot in feet},
        **beginnings(STAGE, [path for foot in feet for path in foot.inputs]),
    }


def _made(foot: Foot, rung: Rung) -> dict[str, Any]:
    files = foot.captions[rung.name]
    return {
        "captions_sha256": {kind: sha256(path) for kind, path in files.items()},
        "seconds": {member.label: _seconds(foot.folder, member) for member in rung.members},
    }


def _seconds(folder: Path, member: Member) -> dict[str, float | None]:
    job = f"{member.captioner}-{member.seed}"
    stages = ["train_captioner"] if member.before_scst else ["train_captioner", "finetune_scst"]
    return {stage: seconds(folder, stage, job) for stage in stages}


def markdown(found: dict[str, Any]) -> str:
    """Rungs with the paper's METEOR beside them, then differences with their intervals, for people; points of 100."""
    metrics = list(found["rungs"][0]["gt"])
    columns = [(kind, metric) for kind in PROPOSALS for metric in metrics]
    head = ["x 100", *(f"{metric} {kind}" for kind, metric in columns), *(f"paper {kind}" for kind in PROPOSALS)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in found["rungs"]:
        values = [f"{100 * row[kind][metric]['mean']:.1f}" for kind, metric in columns]
        lines.append([row["name"], *values, *(_paper(row["paper"][kind], "") for kind in PROPOSALS)])
    for row in found["differences"]:
        values = [gain(row[kind][metric]) for kind, metric in columns]
        told = [_paper(row["paper"][kind], "+") for kind in PROPOSALS]
        lines.append([f"{row['rung']} - {row['than']}", *values, *told])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _paper(value: float | None, sign: str) -> str:
    return "" if value is None else f"{value:{sign}.2f}"
