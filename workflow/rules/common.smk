"""Shared by all rules: the configuration of a dataset, code hashes, and the resources of jobs.

A rule passes its stage exactly the stage's own section as JSON, so a change of another section reruns nothing. A rule
has the stamp file of its stage's code as an input, so a change of any module that the stage imports reruns it.
"""

import gc
import os
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import ResourceValidationError
from snakemake.output_index import OutputIndex

from pipeline.config.dataset_names import DATASET, MEMBER, RECOGNIZER, dataset_of_result
from pipeline.errors import PipelineError

try:
    from pipeline.config.base import Settings
    from pipeline.config.load import Config, load_config
    from pipeline.provenance.code_hash import write_stamp
    from pipeline.provenance.parsed_sources import STAMPS
    from pipeline.provenance.settings import ineffective_overlays
except PipelineError as error:  # an invalid entry of a registry
    sys.exit(f"error: {error}")

# A plan of 256 shards has millions of objects that live until its end. The collector would visit them again and again.
gc.set_threshold(100_000, 20, 20)
# Its jobs read 2,500 files, each many times. Snakemake would look for the rules that make a file every time.
OutputIndex.match_producers = cache(OutputIndex.match_producers)

# Jobs use the python of this environment, even if the environment is not activated.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)


wildcard_constraints:
    dataset=DATASET,
    shard="[0-9]{4}",
    split="train|enlarged|val|test|submission",
    seed="[0-9]+",
    encoder=DATASET,
    feature=DATASET,
    recognizer=DATASET,
    proposer=DATASET,
    captioner=DATASET,
    member=f"(?:{MEMBER})?",
    recognized=f"(?:{RECOGNIZER})?",
    ensemble=DATASET,
    before="(-xe)?",
    proposals=DATASET,
    classifier=DATASET,
    localizer=DATASET,
    detections=DATASET,


def or_exit(function, *arguments):
    """Return what a function returns; end snakemake with one plain line if it raises a PipelineError."""
    try:
        return function(*arguments)
    except PipelineError as error:
        sys.exit(f"error: {error}")


@cache
def settings(dataset: str) -> Config:
    """Return the checked configuration of a dataset."""
    return or_exit(load_config, dataset, config)


def named_datasets(words: list[str]) -> set[str]:
    """Return the datasets that a command line asks for; `demo` if it names no target."""
    named = {dataset for word in words if (dataset := dataset_of_result(word))}
    return named or (set() if "--target-jobs" in words else {"demo"})


# The targets are not known yet while the rule files are read. The command line is read instead, so that an error in the
# configuration is reported before any job, and before snakemake looks for any file.
requested_datasets = named_datasets(sys.argv[1:])
for dataset in requested_datasets:
    settings(dataset)
overlays = list(map(Path, workflow.config_settings.configfiles))
for path in or_exit(ineffective_overlays, requested_datasets, overlays):
    print(
        f"{path} has no effect on dataset {', '.join(sorted(requested_datasets))}: every key already has this value",
        file=sys.stderr,
    )


def section_of(wildcards, stage: str, entry: str | None, changes=None) -> Settings:
    """Return the section of a stage, or the entry of it that a wildcard names.

    Args:
        stage: name of the stage.
        entry: the wildcard that names an entry of the section.
        changes: function of the wildcards that returns settings that replace those of the configuration.
    """
    section = getattr(settings(wildcards.dataset), stage)
    section = section[wildcards[entry]] if entry else section
    return section.model_copy(update=changes(wildcards)) if changes else section


def config_params(stage: str, entry: str | None = None, changes=None):
    """Return the parameter `config` of a rule: the stage's section as JSON; see `section_of`.

    Snakemake does not compare parameters that depend on resources, so a change of this one alone reruns nothing.
    """
    return lambda wildcards, resources: section_of(
        wildcards, stage, entry, changes
    ).to_json()


def tracked_params(stage: str, entry: str | None = None, changes=None):
    """Return the parameter `tracked` of a rule, which snakemake compares: the settings that affect results."""
    return lambda wildcards: section_of(
        wildcards, stage, entry, changes
    ).result_settings_json()


def gpus(stage: str, entry: str | None = None):
    """Return the function that gives the GPUs of a job: one for each process, none on the CPU.

    `--resources gpu=0` sends jobs to the CPU if their section has `device: auto`. With `device: cuda` it is an error.
    """

    def count(wildcards):
        section = section_of(wildcards, stage, entry)
        section = getattr(section, "root", section)
        key = f"{stage}.{wildcards[entry]}" if entry else stage
        device = getattr(
            section, "device", "cpu"
        )  # sections without a device compute nothing
        needed = 0 if device == "cpu" else getattr(section, "world_size", 1)
        available = workflow.global_resources.get("gpu").value
        # Snakemake prints an error of this kind as one line, without a traceback.
        if available == 0 and needed and device == "cuda":
            raise ResourceValidationError(
                f"config: {key}.device = cuda, but --resources gpu=0 allows no GPU: allow some, or set"
                f" {key}.device = auto, which uses the CPU if there is no GPU"
            )
        if available and available < needed:
            raise ResourceValidationError(
                f"config: {key}.world_size = {needed} needs one GPU for each process, but --resources"
                f" gpu={available}: allow more, or set fewer processes"
            )
        return needed

    return count


def scale_with_attempt(amount: int):
    """Return a resource that grows with each attempt at a job. Only clusters enforce it."""
    return lambda wildcards, attempt: amount * attempt


def same_command() -> str:
    """Return the command line of this run."""
    program, *words = sys.argv
    if Path(program).name == "__main__.py":
        return shlex.join([sys.executable, "-m", "snakemake", *words])
    return shlex.join([program, *words])


def code_hash_of(stage: str) -> str:
    """Return the stamp file of a stage, which changes whenever the code of the stage does."""
    return write_stamp(stage, Path("results", STAMPS))
