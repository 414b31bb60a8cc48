"""Pretrain: the clip encoders.

REQUIRED INPUTS: the corpus, all re-encoded videos, the concepts (where an encoder is to learn them), global
features (where one is to see them).
OUTPUTS: results/{dataset}/encoders/{encoder}/manifest.json, beside it weights, config, metrics and a card.
"""


rule pretrain_encoder:
    """Pretrain an encoder on actions, temporal regions and semantic concepts; goes on where it was stopped."""
    input:
        code=stamp("pretrain_encoder"),
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        concepts=learned_concepts,
        globals=global_features,
        weights=initial_weights,
    output:
        manifest="results/{dataset}/encoders/{encoder}/manifest.json",
    log:
        "results/{dataset}/logs/pretrain_encoder/{encoder}.log",
    benchmark:
        "results/{dataset}/benchmarks/pretrain_encoder/{encoder}.jsonl"
    threads: 8
    resources:
        gpu=processes,
    params:
        config=section("pretrain_encoder", "encoder"),
        decides=deciding("pretrain_encoder", "encoder"),
        processes=lambda wildcards, resources: processes(wildcards),
    shell:
        "python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --processes {params.processes} --"
        " python -m pipeline.pretrain_encoder --config {params.config:q} --name {wildcards.encoder}"
        " --corpus {input.corpus:q} --videos results/{wildcards.dataset}/video"
        " --concepts results/{wildcards.dataset}/concepts.json --globals {input.globals:q}"
        " --state results/{wildcards.dataset}/state/pretrain_encoder/{wildcards.encoder}"
        " --output {output.manifest:q} > {log:q} 2>&1"
