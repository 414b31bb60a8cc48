"""Study: what encoders are worth, beside one another, and what each step of captioning adds.

REQUIRED INPUTS: the corpus, the concepts, features of all shards; for the comparison, all that of several corpora, and
captions of their ground-truth events; for the ladder, captions of ground-truth and learned proposals by every rung.
OUTPUTS: results/{dataset}/probes/{feature}.json, results/{dataset}_pretraining.json, results/{dataset}_ladder.json.
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
        decides=deciding("probe_encoder"),
    shell:
        "python -m pipeline.probe_encoder --config {params.config:q} --feature {wildcards.feature}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --concepts {input.concepts:q} --output {output.scores:q} > {log:q} 2>&1"


rule compare_encoders:
    """Put encoders beside one another, on corpora of several seeds: probes, and captions of ground-truth events."""
    input:
        code=stamp("compare_encoders"),
        probes=lambda wildcards: compared(wildcards.dataset, "probes"),
        captions=lambda wildcards: compared(wildcards.dataset, "captions"),
        control=lambda wildcards: compared(wildcards.dataset, "control"),
    output:
        comparison="results/{dataset}_pretraining.json",
        picture="results/{dataset}_pretraining.png",
    log:
        "results/{dataset}/logs/compare_encoders.log",
    benchmark:
        "results/{dataset}/benchmarks/compare_encoders.jsonl"
    params:
        config=section("compare_encoders"),
        decides=deciding("compare_encoders"),
    shell:
        "python -m pipeline.compare_encoders --config {params.config:q} --dataset results/{wildcards.dataset}"
        " --output {output.comparison:q} > {log:q} 2>&1"


rule climb_ladder:
    """Put the rungs of the paper's Table 2 beside one another: what each adds to the one before."""
    input:
        code=stamp("climb_ladder"),
        captions=climbed,
    output:
        ladder="results/{dataset}_ladder.json",
        picture="results/{dataset}_ladder.png",
    log:
        "results/{dataset}/logs/climb_ladder.log",
    benchmark:
        "results/{dataset}/benchmarks/climb_ladder.jsonl"
    params:
        config=section("climb_ladder"),
        decides=deciding("climb_ladder"),
    shell:
        "python -m pipeline.climb_ladder --config {params.config:q} --dataset results/{wildcards.dataset}"
        " --output {output.ladder:q} > {log:q} 2>&1"
