"""Study: compare encoders, captioners and ensembles on the same videos.

REQUIRED INPUTS: for the probes, the corpus, the concepts and the features of all shards; for a comparison, the corpus,
captions of every system and probes of the systems with a feature, for each dataset of the comparison; for a study, the
result files that its rows name.
OUTPUTS: results/{dataset}/probes/{feature}.json, results/{dataset}_{comparison}.json,
results/{dataset}_localization.json, results/{dataset}_{study}.json.
"""


rule probe_encoder:
    """Measure what a linear classifier reads from a feature: actions, regions, concepts."""
    input:
        code=code_hash_of("probe_encoder"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=lambda wildcards: feature_shards(
            wildcards.dataset, [wildcards.feature]
        ),
        concepts="results/{dataset}/concepts.json",
    output:
        scores="results/{dataset}/probes/{feature}.json",
    log:
        "results/{dataset}/logs/probe_encoder/{feature}.log",
    benchmark:
        "results/{dataset}/benchmarks/probe_encoder/{feature}.jsonl"
    threads: lambda wildcards: section_of(wildcards, "probe_encoder", None).workers
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("probe_encoder"),
        tracked=tracked_params("probe_encoder"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.probe_encoder --config {params.config:q} --feature {wildcards.feature}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --concepts {input.concepts:q} --output {output.scores:q}"


rule compare_systems:
    """Compare captioning systems on the same videos: scores, differences with intervals, a picture."""
    input:
        code=code_hash_of("compare_systems"),
        files=compared_files,
    output:
        comparison="results/{dataset}_{comparison}.json",
        picture="results/{dataset}_{comparison}.png",
    log:
        "results/{dataset}/logs/compare_systems/{comparison}.log",
    benchmark:
        "results/{dataset}/benchmarks/compare_systems/{comparison}.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("compare_systems", "comparison"),
        tracked=tracked_params("compare_systems", "comparison"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.compare_systems --config {params.config:q} --dataset results/{wildcards.dataset}"
        " --output {output.comparison:q}"


rule compare_localization:
    """Compare encoders on the tasks of localization: scores beside published ones, differences, a picture."""
    input:
        code=code_hash_of("compare_localization"),
        files=studied_files,
    output:
        study="results/{dataset}_localization.json",
        document="results/{dataset}_localization.md",
        picture="results/{dataset}_localization.png",
    log:
        "results/{dataset}/logs/compare_localization.log",
    benchmark:
        "results/{dataset}/benchmarks/compare_localization.jsonl"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(120),
    params:
        config=config_params("compare_localization"),
        tracked=tracked_params("compare_localization"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.compare_localization --config {params.config:q} --dataset results/{wildcards.dataset}"
        " --output {output.study:q}"


rule compare_results:
    """Compare results: tables of numbers of result files beside published ones, differences, a picture."""
    input:
        code=code_hash_of("compare_results"),
        files=tabulated_files,
    output:
        study="results/{dataset}_{study}.json",
        document="results/{dataset}_{study}.md",
        picture="results/{dataset}_{study}.png",
    log:
        "results/{dataset}/logs/compare_results/{study}.log",
    benchmark:
        "results/{dataset}/benchmarks/compare_results/{study}.jsonl"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("compare_results", "study"),
        tracked=tracked_params("compare_results", "study"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.compare_results --config {params.config:q} --dataset results/{wildcards.dataset}"
        " --output {output.study:q}"
