"""Features: clip features of every video, and global ones.

REQUIRED INPUTS: an encoder, the weights of a published network or a file of features; the re-encoded videos of a shard;
the corpus.
OUTPUTS: results/{dataset}/features/{feature}/{shard}/manifest.json, beside it the Zarr store, its index and the rejects;
results/{dataset}/globals/{feature}/manifest.json, beside it one vector for each video.
"""


rule extract_features:
    """Extract the clip features of one shard."""
    input:
        code=stamp("extract_features"),
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
        gpu=feature_gpu,
    params:
        config=section("extract_features", "feature"),
        decides=deciding("extract_features", "feature"),
    shell:
        "python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.extract_features --config {params.config:q} --encoder {input.encoder:q}"
        " --videos {input.videos:q} --output {output.manifest:q} > {log:q} 2>&1"


rule pool_features:
    """Pool a feature over all clips of each video."""
    input:
        code=stamp("pool_features"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=lambda wildcards: feature_shards(
            wildcards.dataset, [wildcards.feature]
        ),
    output:
        manifest="results/{dataset}/globals/{feature}/manifest.json",
    log:
        "results/{dataset}/logs/pool_features/{feature}.log",
    benchmark:
        "results/{dataset}/benchmarks/pool_features/{feature}.jsonl"
    params:
        config=section("pool_features"),
        decides=deciding("pool_features"),
    shell:
        "python -m pipeline.pool_features --config {params.config:q} --feature {wildcards.feature}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --output {output.manifest:q} > {log:q} 2>&1"
