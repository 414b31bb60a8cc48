"""The plan of a run on a machine: which jobs it has, and what they cost."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.load import Config, load_config, read_yaml
from pipeline.planning.corpus_size import CorpusSize, assume_size, measure_size
from pipeline.planning.cost import CostModel, RunCost
from pipeline.planning.fresh_folder import fresh_folder
from pipeline.planning.machine import Machine
from pipeline.planning.rates import shipped_rates
from pipeline.provenance.jobs import Job, dry_run
from pipeline.provenance.settings import datasets_of_targets


@dataclass(frozen=True)
class StatedSize:
    """The size of a dataset as the user states it.

    Attributes:
        videos: number of videos.
        hours: duration of all videos [h].
    """

    videos: int
    hours: float


@dataclass(frozen=True)
class RunPlan:
    """The jobs of a run, and the configuration that they come from.

    Attributes:
        jobs: in the order of the data flow; empty if everything is up to date.
        configs: dataset -> its configuration.
    """

    jobs: list[Job]
    configs: Mapping[str, Config]

    def measure_sizes(self, stated: StatedSize | None) -> dict[str, CorpusSize]:
        """Return the size of each dataset: as stated, else that of its corpus.

        Raises:
            PipelineError: nobody states a size, and there is no corpus yet.
        """
        if stated is not None:
            return {
                dataset: assume_size(stated.videos, stated.hours, config.build_corpus.fractions)
                for dataset, config in self.configs.items()
            }
        return {dataset: measure_size(Path("results", dataset, "corpus", "manifest.json")) for dataset in self.configs}

    def estimate(self, machine: Machine, sizes: Mapping[str, CorpusSize], results: Path | None) -> RunCost:
        """Estimate what the run costs on a machine.

        Args:
            machine: the machine.
            sizes: dataset -> its size.
            results: folder of the results with past jobs; None: only rates count.

        Raises:
            PipelineError: a job does not fit into a node.
        """
        machine.check_jobs(self.jobs)
        return CostModel(machine, shipped_rates(), sizes, self.configs, results).estimate_run(self.jobs)


def plan_run(targets: list[str], overlays: list[Path], cores: int, *, from_the_start: bool) -> RunPlan:
    """Plan a run.

    Args:
        targets: files or rules; empty for the demo.
        overlays: configuration files of the user.
        cores: cores of the machine.
        from_the_start: plan as if nothing had run and every input file were there.

    Raises:
        PipelineError: snakemake fails.
    """
    settings = _merge(overlays)
    named = datasets_of_targets(targets or ["results/demo/"])
    configs = {dataset: load_config(dataset, settings) for dataset in named}
    with fresh_folder(Path(), configs.values()) if from_the_start else nullcontext() as folder:
        jobs = dry_run(targets, overlays, folder=folder, cores=cores)
    for job in jobs:
        if (dataset := job.wildcards.get("dataset")) and dataset not in configs:
            configs[dataset] = load_config(dataset, settings)
    return RunPlan(jobs, configs)


def _merge(overlays: list[Path]) -> dict[str, Any]:
    # Snakemake merges --configfile by this function. It is imported here because it loads all of snakemake.
    from snakemake.utils import update_config

    merged: dict[str, Any] = {}
    for path in overlays:
        update_config(merged, read_yaml(path))
    return merged
