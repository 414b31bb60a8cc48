"""Tables of the extractors and of their weight files in docs/features.md, from the registry. Imports no network."""

from collections.abc import Sequence

from pipeline.config.encoders import PUBLISHED_WEIGHTS
from pipeline.config.extractors import EXTRACTORS, WeightFile


def extractors_table() -> str:
    """Return the Markdown table of the extractors; docs/weights.md lists the published clip encoders."""
    rows = []
    for name, spec in EXTRACTORS.items():
        if name not in PUBLISHED_WEIGHTS:
            windows = f"{spec.grid.frames:,} at {spec.grid.fps:,.0f}/s, every {spec.grid.stride:,}"
            cells = (f"`{name}`", spec.modality, f"{spec.dim:,}", windows, spec.input_description, spec.description)
            rows.append(cells)
    return _table(("name", "modality", "channels", "windows", "input", "network"), rows)


def weights_table() -> str:
    """Return the Markdown table of the extractors' weight files."""
    users: dict[WeightFile, list[str]] = {}
    for name, spec in EXTRACTORS.items():
        if name not in PUBLISHED_WEIGHTS:
            for weights in (spec.weights, *spec.extra_weights):
                users.setdefault(weights, []).append(f"`{name}`")
    rows = []
    for weights, names in users.items():
        file = f"[`{weights.file}`]({weights.url})" if weights.url else f"`{weights.file}`"
        digest = f"`{weights.digest}`" if weights.digest else "not published"
        rows.append((file, digest, weights.licence, ", ".join(names)))
    return _table(("file", "sha256 begins with", "licence", "extractors"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
