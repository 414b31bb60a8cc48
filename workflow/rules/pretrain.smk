"""Pretrain: train the clip encoders.

REQUIRED INPUTS: the corpus, all re-encoded videos, the concepts (if an encoder learns them), pooled features of the
videos (if its region head sees them).
OUTPUTS: results/{dataset}/encoders/{encoder}/manifest.json, next to it the weights, config, metrics and a card.
"""


rule pretrain_encoder:
    """Pretrain an encoder on actions, temporal regions and semantic concepts; an interrupted run resumes."""
    input:
        code=code_hash_of("pretrain_encoder"),
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        concepts=learned_concepts,
        video_features=global_features,
        weights=initial_weights,
    output:
        manifest="results/{dataset}/encoders/{encoder}/manifest.json",
    log:
        "results/{dataset}/logs/pretrain_encoder/{encoder}.log",
    benchmark:
        "results/{dataset}/benchmarks/pretrain_encoder/{encoder}.jsonl"
    threads: 8
    resources:
        gpu=gpus("pretrain_encoder", "encoder"),
        mem_mb=scale_with_attempt(64000),
        runtime=scale_with_attempt(2880),
    params:
        config=config_params("pretrain_encoder", "encoder"),
        tracked=tracked_params("pretrain_encoder", "encoder"),
        world_size=lambda wildcards, resources: world_size(wildcards),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --processes {params.world_size} --"
        " python -m pipeline.pretrain_encoder --config {params.config:q} --name {wildcards.encoder}"
        " --corpus {input.corpus:q} --videos results/{wildcards.dataset}/video"
        " --concepts results/{wildcards.dataset}/concepts.json --video-features {input.video_features:q}"
        " --state results/{wildcards.dataset}/state/pretrain_encoder/{wildcards.encoder}"
        " --output {output.manifest:q}"
