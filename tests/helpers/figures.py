"""Figures in documents: the measured numbers of a Markdown file, and the source that a comment names for each.

`<!-- figures: SOURCE; SOURCE -->` holds for the rest of its section, with its subsections, until the next such comment
in the section. Code, headings, links and generated parts have no figures.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = re.compile(r"<!-- figures: (.*?) -->")
HEADING = re.compile(r"(#+) ")
FENCE = re.compile(r"```.*?^```", re.DOTALL | re.MULTILINE)
GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n)+")
IGNORED = re.compile(
    r"`[^`]*`|\]\([^)]*\)|https?://\S+|<!--.*?-->|\b(?:section|Python|arXiv|Table|version|ActivityNet|PyTorch) [\d.]+",
    re.DOTALL,
)
UNIT = (
    r"(?:%|[mk]?s|min(?:utes?)?|hours?|h|days?|seconds|[kMGT]i?B|TFLOP/s|(?:clips|rows|frames|steps)/s|times|"
    r"METEOR|CIDEr|mAP|points?)"
)
NUMBER = r"(?<![\w.,/-])[-+\u2212]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?"
FIGURE = re.compile(rf"{NUMBER}(?= ?{UNIT}(?![\w/-]))|(?<![\w.,/-])[-+\u2212]?\d[\d,]*\.\d+(?![\w.]*\w)")


@dataclass(frozen=True)
class Figure:
    """A figure of a document.

    Attributes:
        line: number of its line.
        text: the number as written.
        in_table: whether its line is a row of a table.
        sources: what the comment above it names; empty if there is none.
    """

    line: int
    text: str
    in_table: bool
    sources: tuple[str, ...]


def read_figures(path: Path) -> list[Figure]:
    """Return all figures of a document."""
    return list(find_figures(path.read_text(encoding="utf-8")))


def find_figures(text: str) -> Iterator[Figure]:
    """Yield all figures of a Markdown text."""
    for code in (FENCE, GENERATED, INDENTED):
        text = code.sub(_blank, text)
    markers = {text.count("\n", 0, match.start()): match[1] for match in MARKER.finditer(text)}
    text = IGNORED.sub(_blank, text)
    sources: dict[int, tuple[str, ...]] = {}  # level of a section -> what its last comment names
    level = 0
    for number, line in enumerate(text.split("\n")):
        if heading := HEADING.match(line):
            level = len(heading[1])
            sources = {depth: names for depth, names in sources.items() if depth < level}
            continue
        if number in markers:
            sources[level] = tuple(name.strip() for name in markers[number].split(";"))
        for match in FIGURE.finditer(line):
            yield Figure(number + 1, match[0], line.startswith("|"), sources[max(sources)] if sources else ())


def _blank(match: re.Match[str]) -> str:
    """Return only the ends of lines, so that numbers of lines stay."""
    return "\n" * match[0].count("\n")
