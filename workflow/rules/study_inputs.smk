"""The inputs of the rules of study.smk, as functions of a rule's wildcards; `settings` is in common.smk.

Results of comparisons and of studies have the same form. So the wildcards take the names of one kind only.
"""

import re

from pipeline.config.dataset_names import COMPARISON
from pipeline.errors import nearest


def named_studies() -> set[str]:
    """Return the entries of `compare_results` of all datasets of this command; end with an error if one is ambiguous.

    A job that snakemake runs by itself is named by `--target-jobs`, as `rule:dataset=NAME,...`.
    """
    of_jobs = re.findall(rf"\bdataset=({DATASET})", " ".join(sys.argv[1:]))
    configurations = [settings(name) for name in {*requested_datasets, *of_jobs}]
    names = {name for of_one in configurations for name in of_one.compare_results}
    for name in sorted(names):
        if any(name in of_one.compare_systems for of_one in configurations):
            sys.exit(
                f"error: {name} is an entry of compare_systems of one dataset and of compare_results of another: ask"
                " for the results of these datasets by separate commands"
            )
    return names


studies = "|".join(sorted(named_studies())) or "(?!)"


wildcard_constraints:
    comparison=rf"(?!(?:{studies})\b){COMPARISON}",
    study=studies,


def comparison_of(wildcards):
    """Return the settings of a comparison."""
    comparisons = settings(wildcards.dataset).compare_systems
    if wildcards.comparison not in comparisons:
        sys.exit(
            f"error: neither compare_systems nor compare_results has an entry {wildcards.comparison!r}"
            f"{nearest(wildcards.comparison, [*comparisons, *settings(wildcards.dataset).compare_results])}"
        )
    return comparisons[wildcards.comparison]


def compared_files(wildcards) -> list[str]:
    """Return what a comparison reads of each of its datasets: the corpus, the captions and the probes of its systems."""
    comparison = comparison_of(wildcards)
    captions = [
        f"captions/{name}"
        for files in comparison.caption_files().values()
        for name in files.values()
    ]
    probes = [
        f"probes/{system.feature}.json"
        for system in comparison.systems
        if system.feature is not None
    ]
    return [
        f"results/{dataset}/{file}"
        for dataset in comparison.datasets(wildcards.dataset)
        for file in ("corpus/manifest.json", *captions, *probes)
    ]


def tabulated_files(wildcards) -> list[str]:
    """Return the result files that the rows of a study name, for each of its datasets."""
    studies = settings(wildcards.dataset).compare_results
    if wildcards.study not in studies:
        sys.exit(
            f"error: compare_results of {wildcards.dataset} has no study {wildcards.study!r}"
            f"{nearest(wildcards.study, studies)}"
        )
    return studies[wildcards.study].result_files(wildcards.dataset)
