"""Study: what encoders are worth, beside one another.

REQUIRED INPUTS: the corpus, the concepts, features of all shards.
OUTPUTS: results/{dataset}/probes/{feature}.json.
"""


rule probe_encoder:
    """What a linear classifier reads from a feature: actions, regions, concepts."""
    input:
        code=stamp("probe_encoder"),
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
    params:
        config=section("probe_encoder"),
    shell:
        "python -m pipeline.probe_encoder --config {params.config:q} --feature {wildcards.feature}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --concepts {input.concepts:q} --output {output.scores:q} > {log:q} 2>&1"
