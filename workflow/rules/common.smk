"""What all rules share: the configuration of a dataset, code stamps, and the names of files.

A rule passes its stage exactly the stage's own section as canonical JSON, so that a change elsewhere reruns nothing,
and takes the stamp of the stage's code as an input, so that a change of any module that the stage imports does rerun.
"""

import os
import re
import sys
from functools import cache
from pathlib import Path

from pipeline.config.base import Settings
from pipeline.config.errors import PipelineError
from pipeline.config.load import Config, load
from pipeline.lineage.overlays import idle
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


@cache
def settings(dataset: str) -> Config:
    """Checked configuration of a dataset: a mistake in it ends snakemake with one plain line."""
    try:
        return load(dataset, config)
    except PipelineError as error:
        sys.exit(f"error: {error}")


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
for path in idle(asked_for, list(map(Path, workflow.config_settings.configfiles))):
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


def stamp(stage: str) -> str:
    """File that changes whenever the code behind a stage does."""
    return write_stamp(stage, Path("results/.stamps"))


def shards(pattern: str):
    """Function of a rule's wildcards that gives `pattern` for every shard of the dataset."""

    def files(wildcards):
        count = settings(wildcards.dataset).build_corpus.shards
        return expand(
            pattern,
            dataset=wildcards.dataset,
            shard=[f"{shard:04d}" for shard in range(count)],
        )

    return files


def feature_shards(dataset: str, features: list[str]) -> list[str]:
    """Manifests of all shards of some features."""
    count = settings(dataset).build_corpus.shards
    return expand(
        "results/{dataset}/features/{feature}/{shard}/manifest.json",
        dataset=dataset,
        feature=features,
        shard=[f"{shard:04d}" for shard in range(count)],
    )


def captioner_features(wildcards) -> list[str]:
    """Feature shards that a captioner reads."""
    return feature_shards(
        wildcards.dataset,
        settings(wildcards.dataset).train_captioner[wildcards.captioner].features,
    )


def finished_captioner(
    dataset: str, name: str, seed: int | str, before: str = ""
) -> str:
    """Manifest of a captioner that is done with its training; `-xe`: with what is before `finetune_scst`."""
    scst = settings(dataset).train_captioner[name].self_critical and not before
    done = "scst" if scst else "xe"
    return f"results/{dataset}/captioners/{name}/{seed}/{done}/manifest.json"
