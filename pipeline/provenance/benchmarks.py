"""Times of past jobs, from snakemake's benchmark files: `results/<dataset>/benchmarks/<rule>[/...].jsonl`."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.dataset_names import base_dataset
from pipeline.errors import PipelineError


def last_run(path: Path) -> dict[str, Any] | None:
    """Return snakemake's entry of a job's last run; its key `s` holds the seconds. Return None if there is none.

    Args:
        path: the benchmark file of the job.

    Raises:
        PipelineError: the file is not a benchmark file.
    """
    if not path.is_file() or not (lines := path.read_text(encoding="utf-8").splitlines()):
        return None
    try:
        entry = json.loads(lines[-1])
        float(entry["s"])
    except (ValueError, TypeError, KeyError):
        raise PipelineError(
            f"{path}: not a benchmark file of snakemake; delete it (it only serves estimates)"
        ) from None
    return dict(entry)


def last_seconds(path: Path) -> float | None:
    """Return the time of a job's last run [s], or None if it has none.

    Args:
        path: the benchmark file of the job.

    Raises:
        PipelineError: the file is not a benchmark file.
    """
    entry = last_run(path)
    return float(entry["s"]) if entry else None


@dataclass
class Benchmarks:
    """Times of past jobs.

    Attributes:
        results: folder of the results.
    """

    results: Path = Path("results")
    _medians: dict[tuple[str, str], float | None] = field(default_factory=dict)

    def estimate_seconds(self, benchmark: Path | None, rule: str, dataset: str) -> float | None:
        """Estimate the time of a job: its last run, else the median of its rule on this dataset, else None.

        The datasets `<name>` and `<name>_s<seed>` have the same size, so they share their times. Other datasets do not.

        Args:
            benchmark: the benchmark file of the job; None for a rule without a command, which takes no time.
            rule: the rule of the job.
            dataset: the dataset of the job.
        """
        if benchmark is None:
            return 0.0
        seconds = last_seconds(benchmark)
        if seconds is not None:
            return seconds
        key = base_dataset(dataset), rule
        if key not in self._medians:
            self._medians[key] = self._median(*key)
        return self._medians[key]

    def _median(self, base: str, rule: str) -> float | None:
        folders = [
            folder
            for folder in sorted(self.results.glob(f"{base}*/benchmarks"))
            if base_dataset(folder.parent.name) == base
        ]
        files = [path for folder in folders for path in (folder / f"{rule}.jsonl", *(folder / rule).rglob("*.jsonl"))]
        times = [seconds for path in files if (seconds := last_seconds(path)) is not None]
        return statistics.median(times) if times else None
