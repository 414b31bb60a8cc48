"""Features: clip features of every video.

REQUIRED INPUTS: an encoder and the re-encoded videos of a shard.
OUTPUTS: results/{dataset}/features/{feature}/{shard}/manifest.json, beside it the Zarr store and its index.
"""


rule extract_features:
    """Extract the clip features of one shard."""
    input:
        code=stamp("extract_features"),
        encoder=lambda wildcards: (
            f"results/{wildcards.dataset}/encoders/"
            f"{settings(wildcards.dataset).extract_features[wildcards.feature].encoder}/manifest.json"
        ),
        videos="results/{dataset}/video/{shard}/manifest.json",
    output:
        manifest="results/{dataset}/features/{feature}/{shard}/manifest.json",
    log:
        "results/{dataset}/logs/extract_features/{feature}-{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/extract_features/{feature}-{shard}.jsonl"
    threads: 1
    resources:
        gpu=1,
    params:
        config=section("extract_features", "feature"),
    shell:
        "python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.extract_features --config {params.config:q} --encoder {input.encoder:q}"
        " --videos {input.videos:q} --output {output.manifest:q} > {log:q} 2>&1"
