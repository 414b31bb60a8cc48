"""What recognizers learn: features for few labelled clips, and where a recognizer looks.

REQUIRED INPUTS: the corpus; the labels of its clips; features of all shards, or a recognizer and all re-encoded videos.
OUTPUTS: results/{dataset}_transfer.json; results/{dataset}/grad_cam/{recognizer}-{split}/manifest.json, next to it a page.
"""


rule transfer_features:
    """Classify clips by few labelled ones, for each frozen feature and classifier."""
    input:
        code=code_hash_of("transfer_features"),
        corpus="results/{dataset}/corpus/manifest.json",
        labels="results/{dataset}/clip_labels/manifest.json",
        features=lambda wildcards: feature_shards(
            wildcards.dataset, transferred_features(wildcards)
        ),
    output:
        scores="results/{dataset}_transfer.json",
    log:
        "results/{dataset}/logs/transfer_features.log",
    benchmark:
        "results/{dataset}/benchmarks/transfer_features.jsonl"
    threads: lambda wildcards: section_of(wildcards, "transfer_features", None).workers
    resources:
        gpu=gpus("transfer_features"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(1440),
    params:
        config=config_params("transfer_features"),
        tracked=tracked_params("transfer_features"),
        names=lambda wildcards: transferred_features(wildcards),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.transfer_features --config {params.config:q} --corpus {input.corpus:q}"
        " --labels {input.labels:q} --features results/{wildcards.dataset}/features"
        " --names {params.names:q} --output {output.scores:q}"


rule render_grad_cam:
    """Render where a recognizer looks: Grad-CAM of class and words over the frames, as a page."""
    input:
        code=code_hash_of("render_grad_cam"),
        corpus="results/{dataset}/corpus/manifest.json",
        labels="results/{dataset}/clip_labels/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        recognizer="results/{dataset}/recognizers/{recognizer}/manifest.json",
    output:
        manifest="results/{dataset}/grad_cam/{recognizer}-{split}/manifest.json",
    log:
        "results/{dataset}/logs/render_grad_cam/{recognizer}-{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/render_grad_cam/{recognizer}-{split}.jsonl"
    resources:
        gpu=gpus("render_grad_cam"),
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("render_grad_cam"),
        tracked=tracked_params("render_grad_cam"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.render_grad_cam --config {params.config:q} --split {wildcards.split}"
        " --corpus {input.corpus:q} --labels {input.labels:q} --videos results/{wildcards.dataset}/video"
        " --recognizer {input.recognizer:q} --output {output.manifest:q}"
