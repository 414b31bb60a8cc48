"""Video: constant 30 fps.

REQUIRED INPUTS: the corpus, and the raw videos that it names.
OUTPUTS: results/{dataset}/video/{shard}/manifest.json, beside it the MP4s, their table and the rejects.
"""


rule reencode:
    """Re-encode one shard of raw videos; list those that do not decode; goes on where it was stopped."""
    input:
        code=stamp("reencode"),
        corpus="results/{dataset}/corpus/manifest.json",
        generated=generated_videos,
    output:
        manifest="results/{dataset}/video/{shard}/manifest.json",
    log:
        "results/{dataset}/logs/reencode/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/reencode/{shard}.jsonl"
    params:
        config=section("reencode"),
        decides=deciding("reencode"),
    shell:
        "python -m pipeline.reencode --config {params.config:q} --corpus {input.corpus:q}"
        " --shard {wildcards.shard} --output {output.manifest:q} > {log:q} 2>&1"
