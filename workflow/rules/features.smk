"""Features: feature rows of all clips, and one pooled vector per video.

REQUIRED INPUTS: an encoder, the weights of a published network or a file of features; the re-encoded videos of a shard;
the corpus.
OUTPUTS: results/{dataset}/features/{feature}/{shard}/manifest.json, next to it the Zarr array, its index and the
rejects; results/{dataset}/video_features/{feature}/manifest.json, next to it one vector per video.
"""


rule extract_features:
    """Extract the clip features of one shard."""
    input:
        code=code_hash_of("extract_features"),
        encoder=feature_encoder,
        files=feature_files,
        videos="results/{dataset}/video/{shard}/manifest.json",
    output:
        manifest="results/{dataset}/features/{feature}/{shard}/manifest.json",
    log:
        "results/{dataset}/logs/extract_features/{feature}-{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/extract_features/{feature}-{shard}.jsonl"
    threads: 1
    resources:
        gpu=gpus("extract_features", "feature"),
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(720),
    params:
        config=config_params("extract_features", "feature"),
        tracked=tracked_params("extract_features", "feature"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.extract_features --config {params.config:q} --encoder {input.encoder:q}"
        " --videos {input.videos:q} --output {output.manifest:q}"


rule pool_features:
    """Pool a feature over all clips of each video (maximum, mean)."""
    input:
        code=code_hash_of("pool_features"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=lambda wildcards: feature_shards(
            wildcards.dataset, [wildcards.feature]
        ),
    output:
        manifest="results/{dataset}/video_features/{feature}/manifest.json",
    log:
        "results/{dataset}/logs/pool_features/{feature}.log",
    benchmark:
        "results/{dataset}/benchmarks/pool_features/{feature}.jsonl"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(120),
    params:
        config=config_params("pool_features"),
        tracked=tracked_params("pool_features"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.pool_features --config {params.config:q} --feature {wildcards.feature}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --output {output.manifest:q}"
