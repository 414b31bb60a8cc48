"""Names of datasets: how they are written, what variants they name, and which dataset a result belongs to.

`<name>` has a file `config/datasets/<name>.yaml`. `<name>_s<seed>` and `<name>_smoke` are variants of it, which
`pipeline.config.dataset_variants` configures.
"""

import re
from dataclasses import dataclass

DATASET = "[a-z][a-z0-9_]*"
"""Regular expression of the name of a dataset, and of every named entry of the configuration."""

COMPARISON = (
    r"(?!(?:meteor|captions|submission|detections|proposals|recognition|transfer|localization)\b)[a-z][a-z0-9]*"
)
"""Regular expression of the name of a comparison or study. It has no underscore: `<dataset>_<name>` is unambiguous. The
names of other results end in `meteor`, `captions`, `submission`, `detections`, `proposals`, `recognition`,
`transfer` and `localization`."""

MEMBER = rf"-{DATASET}-[0-9]+(?:-xe)?"
"""Regular expression of what names a captioner in a result, `results/<dataset>_test_captions-<captioner>-<seed>.json`;
`-xe`: as it was before `finetune_scst`."""

RECOGNIZER = rf"-{DATASET}"
"""Regular expression of what names one recognizer in a result: `results/<dataset>_test_recognition-<name>.json`."""

SMOKE = "_smoke"
"""Suffix of a rehearsal."""

_SEEDED = re.compile(rf"(?P<base>{DATASET})_s(?P<seed>[0-9]+)")
_RESULT = re.compile(
    rf"results/(?P<dataset>{DATASET}?)"
    rf"(?:/|_(?:val|test)_(?:meteor|captions(?:{MEMBER})?|detections|proposals)\.json$"
    rf"|_(?:val|test)_recognition(?:{RECOGNIZER})?\.json$"
    rf"|_(?:submission|transfer)\.json$|_localization\.(?:json|md|png)$|_{COMPARISON}\.(?:json|md|png)$)"
)


@dataclass(frozen=True)
class SeededName:
    """The parts of `<base>_s<seed>`."""

    base: str
    seed: int


def parse_seeded_name(dataset: str) -> SeededName | None:
    """Split `<base>_s<seed>` into its parts; return None for any other name."""
    match = _SEEDED.fullmatch(dataset)
    return SeededName(match["base"], int(match["seed"])) if match else None


def base_dataset(dataset: str) -> str:
    """Return `<base>` of a name `<base>_s<seed>`, and any other name unchanged."""
    seeded = parse_seeded_name(dataset)
    return seeded.base if seeded else dataset


def dataset_of_result(path: str) -> str | None:
    """Return the dataset of a result below `results/`; None if the path is not such a result.

    Args:
        path: relative to the project: `results/<dataset>/...`, `results/<dataset>_<split>_meteor.json` (or `_captions`,
            also of one captioner, `_detections`, `_proposals`, `_recognition`, also of one recognizer),
            `results/<dataset>_submission.json` (or `_transfer`) or `results/<dataset>_<name>.json` of a comparison or
            study.
    """
    match = _RESULT.match(path)
    return match["dataset"] if match else None
