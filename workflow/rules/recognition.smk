"""Recognition: classes and captions of whole clips.

REQUIRED INPUTS: the corpus; files of Something-Something, if label_clips names some; all re-encoded videos.
OUTPUTS: results/{dataset}/clip_labels/manifest.json; results/{dataset}/recognizers/{recognizer}/manifest.json, next to it
the weights; results/{dataset}/recognition/{recognizer}/{split}/manifest.json, next to it the predictions;
results/{dataset}_{split}_recognition.json, and results/{dataset}_{split}_recognition-{recognizer}.json of one of them.
"""


rule label_clips:
    """Label clips: class, group of classes, full and simplified caption; odd rows are counted."""
    input:
        code=code_hash_of("label_clips"),
        corpus="results/{dataset}/corpus/manifest.json",
        files=label_files,
    output:
        manifest="results/{dataset}/clip_labels/manifest.json",
    log:
        "results/{dataset}/logs/label_clips.log",
    benchmark:
        "results/{dataset}/benchmarks/label_clips.jsonl"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    params:
        config=config_params("label_clips"),
        tracked=tracked_params("label_clips"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.label_clips --config {params.config:q} --corpus {input.corpus:q}"
        " --output {output.manifest:q}"


rule train_recognizer:
    """Train a recognizer on classes, captions or both, from pixels; an interrupted run resumes."""
    input:
        code=code_hash_of("train_recognizer"),
        corpus="results/{dataset}/corpus/manifest.json",
        labels="results/{dataset}/clip_labels/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
    output:
        manifest="results/{dataset}/recognizers/{recognizer}/manifest.json",
    log:
        "results/{dataset}/logs/train_recognizer/{recognizer}.log",
    benchmark:
        "results/{dataset}/benchmarks/train_recognizer/{recognizer}.jsonl"
    threads: 8
    resources:
        gpu=gpus("train_recognizer", "recognizer"),
        mem_mb=scale_with_attempt(64000),
        runtime=scale_with_attempt(2880),
    params:
        config=config_params("train_recognizer", "recognizer"),
        tracked=tracked_params("train_recognizer", "recognizer"),
        world_size=lambda wildcards, resources: recognizer_processes(wildcards),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --processes {params.world_size} --"
        " python -m pipeline.train_recognizer --config {params.config:q}"
        " --corpus {input.corpus:q} --labels {input.labels:q} --videos results/{wildcards.dataset}/video"
        " --state results/{wildcards.dataset}/state/train_recognizer/{wildcards.recognizer}"
        " --output {output.manifest:q}"


rule recognize_clips:
    """Compute the class scores and the captions that a recognizer gives to the clips of a split."""
    input:
        code=code_hash_of("recognize_clips"),
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        recognizer="results/{dataset}/recognizers/{recognizer}/manifest.json",
    output:
        manifest="results/{dataset}/recognition/{recognizer}/{split}/manifest.json",
    log:
        "results/{dataset}/logs/recognize_clips/{recognizer}-{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/recognize_clips/{recognizer}-{split}.jsonl"
    threads: 1
    resources:
        gpu=gpus("recognize_clips"),
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("recognize_clips"),
        tracked=tracked_params("recognize_clips"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.recognize_clips --config {params.config:q} --split {wildcards.split}"
        " --corpus {input.corpus:q} --videos results/{wildcards.dataset}/video"
        " --recognizer {input.recognizer:q} --output {output.manifest:q}"


rule evaluate_recognition:
    """Score recognizers, or one of them: classes, groups of classes, captions, and the captions of a baseline."""
    input:
        code=code_hash_of("evaluate_recognition"),
        corpus="results/{dataset}/corpus/manifest.json",
        labels="results/{dataset}/clip_labels/manifest.json",
        predictions=recognizer_predictions,
    output:
        scores="results/{dataset}_{split}_recognition{recognized}.json",
    log:
        "results/{dataset}/logs/evaluate_recognition/{split}{recognized}.log",
    benchmark:
        "results/{dataset}/benchmarks/evaluate_recognition/{split}{recognized}.jsonl"
    threads: evaluation_threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("evaluate_recognition"),
        tracked=tracked_params("evaluate_recognition"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.evaluate_recognition --config {params.config:q} --split {wildcards.split}"
        " --corpus {input.corpus:q} --labels {input.labels:q} --predictions {input.predictions:q}"
        " --output {output.scores:q}"
