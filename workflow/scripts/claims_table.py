"""The tables of docs/results.md: what the papers claim, and what the records of the demo show (docs/claims.yaml)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.base import Section
from pipeline.config.load import read_yaml
from pipeline.errors import PipelineError
from workflow.scripts.figure_records import FigureRecords, read_records
from workflow.scripts.rule_files import ROOT

CLAIMS = Path("docs", "claims.yaml")
DEMO = "demo"
"""Name of the record of the demo's scores."""
NOT_MEASURED = "not measured"
OLDER = "older code"
HEAD = ("claim", "where", "the paper", "the demo", "shows", "record")


class Claim(Section):
    """A claim of a paper.

    Attributes:
        claim: what is claimed to be above what, and in which metric.
        where: the table of the paper.
        published: the paper's numbers.
        record: name in docs/figures.yaml; None: not measured.
        value: path of our difference in the record, a number or a mapping with `mean` and maybe `interval`. Names are
            separated by `/`; a number or `[key=value,...]` selects a row of a list.
        scale: factor that turns it into the paper's units.
    """

    claim: str
    where: str
    published: str
    record: str | None = None
    value: str | None = None
    scale: float = 100.0


class Claims(Section):
    """The claims of each paper, by its title."""

    papers: dict[str, list[Claim]]


def find_value(data: Any, path: str) -> Any:
    """Return what stands at a path of plain data; see `Claim.value`.

    Raises:
        PipelineError: there is no such path; names the missing part.
    """
    for part in path.split("/"):
        if isinstance(data, list) and part.startswith("["):
            conditions = dict(condition.split("=") for condition in part.strip("[]").split(","))
            rows = [row for row in data if all(str(row.get(key)) == value for key, value in conditions.items())]
            value = rows[0] if rows else None
        elif isinstance(data, list):
            value = data[int(part)] if part.isdigit() and int(part) < len(data) else None
        else:
            value = data.get(part) if isinstance(data, dict) else None
        if value is None:
            raise PipelineError(f"{CLAIMS}: no {part} in {path}")
        data = value
    return data


def claim_row(claim: Claim, records: FigureRecords) -> list[str]:
    """Return the cells of a claim."""
    cells = [claim.claim, claim.where, claim.published]
    if claim.record is None or claim.value is None:
        return [*cells, NOT_MEASURED, "", ""]
    record = records.result_record(claim.record)
    file = Path(record.file)
    if not (ROOT / file).is_file():
        return [*cells, NOT_MEASURED, "", ""]
    value = find_value(json.loads((ROOT / file).read_text(encoding="utf-8")), claim.value)
    mean, interval = (value["mean"], value.get("interval")) if isinstance(value, dict) else (value, None)
    link = f"[{claim.record}]({file.name})" + (f", {OLDER}" if record.older else "")
    return [*cells, format_difference(mean, interval, claim.scale), judge(mean, interval), link]


def format_difference(mean: float, interval: Sequence[float] | None, scale: float) -> str:
    """Format a difference and its interval in the paper's units."""
    text = f"{mean * scale:+.1f}"
    return text if interval is None else f"{text} ({interval[0] * scale:+.1f} to {interval[1] * scale:+.1f})"


def judge(mean: float, interval: Sequence[float] | None) -> str:
    """Say whether a claimed difference shows: `yes` if its interval is above 0, `unclear` if it holds 0."""
    if interval is None:
        return "unclear"
    return "yes" if interval[0] > 0 else "no" if interval[1] < 0 or mean <= 0 else "unclear"


def demo_table() -> str:
    """Return the METEOR of the demo's own run: with annotated and learned proposals, and the control's."""
    file = ROOT / read_records().result_record(DEMO).file
    if not file.is_file():
        return f"The scores of the demo: {NOT_MEASURED} with today's code and settings."
    scores = json.loads(file.read_text(encoding="utf-8"))
    values = {
        "ground-truth proposals": scores["METEOR"]["gt"]["mean"],
        "learned proposals": scores["METEOR"]["learned"]["mean"],
        "control": scores["control"]["METEOR"]["gt"]["mean"],
    }
    rows = [f"| {name} | {100 * value:.2f} |" for name, value in values.items()]
    return "\n".join(["| `make demo` | METEOR |", "| --- | ---: |", *rows])


def claims_tables() -> str:
    """Return one table for each paper."""
    claims, records = Claims.parse(read_yaml(ROOT / CLAIMS), CLAIMS.as_posix()), read_records()
    blocks = []
    for paper, of_paper in claims.papers.items():
        rows = [list(HEAD), ["---"] * len(HEAD), *(claim_row(claim, records) for claim in of_paper)]
        blocks.append("\n".join([f"## {paper}", "", *(f"| {' | '.join(row)} |" for row in rows)]))
    return "\n\n".join(blocks)
