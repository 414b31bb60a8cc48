"""The inputs of the rules of study.smk, as functions of a rule's wildcards; `settings` is in common.smk."""

from pipeline.errors import nearest


def comparison_of(wildcards):
    """Return the settings of a comparison."""
    comparisons = settings(wildcards.dataset).compare_systems
    if wildcards.comparison not in comparisons:
        sys.exit(
            f"error: compare_systems has no comparison {wildcards.comparison!r}"
            f"{nearest(wildcards.comparison, comparisons)}"
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
