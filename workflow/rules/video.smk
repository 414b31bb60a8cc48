"""Video: re-encoding to constant 30 fps.

REQUIRED INPUTS: the corpus, and the raw videos that it lists.
OUTPUTS: results/{dataset}/video/{shard}/manifest.json, next to it the MP4s, their table and the rejects.
"""


rule reencode:
    """Re-encode one shard of raw videos and list the rejected ones; an interrupted run resumes."""
    input:
        code=code_hash_of("reencode"),
        corpus="results/{dataset}/corpus/manifest.json",
        generated=generated_videos,
    output:
        manifest="results/{dataset}/video/{shard}/manifest.json",
    log:
        "results/{dataset}/logs/reencode/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/reencode/{shard}.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(720),
    params:
        config=config_params("reencode"),
        tracked=tracked_params("reencode"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.reencode --config {params.config:q} --corpus {input.corpus:q}"
        " --shard {wildcards.shard} --output {output.manifest:q}"
