"""What all rules share: the configuration of a dataset, code stamps, and what jobs ask of the machine.

A rule passes its stage exactly the stage's own section as canonical JSON, so that a change elsewhere reruns nothing,
and takes the stamp of the stage's code as an input, so that a change of any module that the stage imports does rerun.
"""

import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import ResourceValidationError

from pipeline.config.base import Settings
from pipeline.errors import PipelineError
from pipeline.config.load import Config, load
from pipeline.provenance.overlays import idle
from workflow.scripts.code_stamp import write_stamp

# Jobs are to find this environment's python, whether it was activated or not.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)


wildcard_constraints:
    dataset="[a-z][a-z0-9_]*",
    shard="[0-9]{4}",
    split="train|enlarged|val|test|submission",
    seed="[0-9]+",
    encoder="[a-z][a-z0-9_]*",
    feature="[a-z][a-z0-9_]*",
    proposer="[a-z][a-z0-9_]*",
    captioner="[a-z][a-z0-9_]*",
    ensemble="[a-z][a-z0-9_]*",
    before="(-xe)?",
    proposals="[a-z][a-z0-9_]*",


def plainly(function, *words):
    """What a function gives; a mistake that it finds ends snakemake with one plain line, wherever that is called."""
    try:
        return function(*words)
    except PipelineError as error:
        sys.exit(f"error: {error}")


@cache
def settings(dataset: str) -> Config:
    """Checked configuration of a dataset."""
    return plainly(load, dataset, config)


def named_datasets(words: list[str]) -> set[str]:
    """Datasets that a command line asks for; the demo's where it names no target."""
    pattern = (
        r"results/([a-z][a-z0-9_]*?)"
        r"(?:_(?:val|test)_meteor\.json|_submission\.json|_(?:pretraining|ladder)\.(?:json|png)|/)"
    )
    named = {found[1] for word in words if (found := re.match(pattern, word))}
    return named or (set() if "--target-jobs" in words else {"demo"})


# Targets are not known yet while the rule files are read. So the command line is looked at, to tell of mistakes in the
# configuration before any job, and before snakemake looks for any file.
asked_for = named_datasets(sys.argv[1:])
for dataset in asked_for:
    settings(dataset)
overlays = list(map(Path, workflow.config_settings.configfiles))
for path in plainly(idle, asked_for, overlays):
    print(
        f"{path} changes nothing for {', '.join(sorted(asked_for))}: all it says is so without it",
        file=sys.stderr,
    )


def chosen(wildcards, stage: str, entry: str | None, changes) -> Settings:
    """The stage's section, or the entry of it that a wildcard names; see `section`."""
    found = getattr(settings(wildcards.dataset), stage)
    found = found[wildcards[entry]] if entry else found
    return found.model_copy(update=changes(wildcards)) if changes else found


def section(stage: str, entry: str | None = None, changes=None):
    """What a command is given: function of a rule's wildcards that gives the stage's section.

    Snakemake compares no parameter that depends on resources, so that a change of this one reruns nothing by itself.

    Args:
        stage: whose.
        entry: the wildcard that names an entry of the section.
        changes: function of the wildcards that gives what is otherwise than in the configuration, by key.
    """
    return lambda wildcards, resources: chosen(
        wildcards, stage, entry, changes
    ).canonical()


def deciding(stage: str, entry: str | None = None, changes=None):
    """What is compared: the same without the settings that only say how the machine is used."""
    return lambda wildcards: chosen(wildcards, stage, entry, changes).decides()


def gpus(stage: str, entry: str | None = None):
    """Function of a rule's wildcards that gives the GPUs of a job: one for each process, none on the CPU.

    `--resources gpu=0` sends jobs to the CPU where the config says `device: auto`; with `cuda` it is an error.
    """

    def count(wildcards):
        found = getattr(settings(wildcards.dataset), stage)
        name = f"{stage}.{wildcards[entry]}" if entry else stage
        found = found[wildcards[entry]] if entry else found
        found = getattr(found, "root", found)
        device = getattr(found, "device", "cpu")  # what is given needs none
        needed = 0 if device == "cpu" else getattr(found, "processes", 1)
        given = workflow.global_resources.get("gpu").value
        if given == 0 and needed and device == "cuda":
            # The kind of error that snakemake tells in a line, without a traceback.
            raise ResourceValidationError(
                f"config: {name}.device = cuda, but --resources gpu=0 gives no GPU: give some, or set"
                f" {name}.device = auto, which computes on the CPU where there are none"
            )
        if given and given < needed:
            raise ResourceValidationError(
                f"config: {name}.processes = {needed} take a GPU each, but --resources gpu={given}: give more, or"
                " set fewer processes"
            )
        return needed

    return count


def growing(amount: int):
    """Resource that grows: every attempt at a job gets the amount once more. For clusters; without them, no limit."""
    return lambda wildcards, attempt: amount * attempt


def same_command() -> str:
    """The command that started this run, to be given once more."""
    program, *words = sys.argv
    if Path(program).name == "__main__.py":
        return shlex.join([sys.executable, "-m", "snakemake", *words])
    return shlex.join([program, *words])


def stamp(stage: str) -> str:
    """File that changes whenever the code behind a stage does."""
    return write_stamp(stage, Path("results/.stamps"))
