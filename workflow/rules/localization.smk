"""Localization: which actions happen, and when.

REQUIRED INPUTS: the corpus; features of all shards; for a learned classifier of videos, pooled features; for class
scores of a file, the file; for localizers that classify proposals, the proposals.
OUTPUTS: results/{dataset}/video_classes/{classifier}.json; results/{dataset}/localizers/{localizer}/manifest.json and
the localizer beside it; results/{dataset}/detections/{detections}.json, in ActivityNet's format;
results/{dataset}_{split}_detections.json (mAP) and results/{dataset}_{split}_proposals.json (average recall);
results/{dataset}/localization_analysis/{split}.json, beside it Markdown and pictures.
"""


rule classify_videos:
    """Score the action classes of whole videos, by a classifier of pooled features or from a file."""
    input:
        code=code_hash_of("classify_videos"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=classifier_features,
        files=classifier_files,
    output:
        classes="results/{dataset}/video_classes/{classifier}.json",
    log:
        "results/{dataset}/logs/classify_videos/{classifier}.log",
    benchmark:
        "results/{dataset}/benchmarks/classify_videos/{classifier}.jsonl"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("classify_videos", "classifier"),
        tracked=tracked_params("classify_videos", "classifier"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.classify_videos --config {params.config:q} --corpus {input.corpus:q}"
        " --features {input.features:q} --output {output.classes:q}"


rule train_localizer:
    """Train a localizer of actions on the annotated action segments."""
    input:
        code=code_hash_of("train_localizer"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=localizer_features,
        proposals=localizer_proposals,
    output:
        manifest="results/{dataset}/localizers/{localizer}/manifest.json",
    log:
        "results/{dataset}/logs/train_localizer/{localizer}.log",
    benchmark:
        "results/{dataset}/benchmarks/train_localizer/{localizer}.jsonl"
    threads: 1
    resources:
        gpu=gpus("train_localizer", "localizer"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(1440),
    params:
        config=config_params("train_localizer", "localizer"),
        tracked=tracked_params("train_localizer", "localizer"),
        proposals=lambda wildcards, input: (
            ["--proposals", input.proposals[0]] if input.proposals else []
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.train_localizer --config {params.config:q} --corpus {input.corpus:q}"
        " --features results/{wildcards.dataset}/features {params.proposals:q}"
        " --state results/{wildcards.dataset}/state/train_localizer/{wildcards.localizer}"
        " --output {output.manifest:q}"


rule localize_actions:
    """Localize the actions of every video: which happen, and when."""
    input:
        code=code_hash_of("localize_actions"),
        corpus="results/{dataset}/corpus/manifest.json",
        localizers=trained_localizers,
        features=detection_features,
        proposals=detection_proposals,
        classes=detection_classes,
    output:
        detections="results/{dataset}/detections/{detections}.json",
    log:
        "results/{dataset}/logs/localize_actions/{detections}.log",
    benchmark:
        "results/{dataset}/benchmarks/localize_actions/{detections}.jsonl"
    threads: 1
    resources:
        gpu=gpus("localize_actions", "detections"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("localize_actions", "detections"),
        tracked=tracked_params("localize_actions", "detections"),
        files=lambda wildcards, input: [
            *(["--proposals", input.proposals[0]] if input.proposals else []),
            *(["--classes", input.classes[0]] if input.classes else []),
        ],
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.localize_actions --config {params.config:q} --corpus {input.corpus:q}"
        " --localizers {input.localizers:q} --features results/{wildcards.dataset}/features {params.files:q}"
        " --output {output.detections:q}"


rule evaluate_localization:
    """Score the detections of actions: mean average precision, or the average recall of their segments."""
    input:
        code=code_hash_of("evaluate_localization"),
        corpus="results/{dataset}/corpus/manifest.json",
        detections=scored_detections,
    output:
        scores="results/{dataset}_{split,val|test}_{task,detections|proposals}.json",
    log:
        "results/{dataset}/logs/evaluate_localization/{split}-{task}.log",
    benchmark:
        "results/{dataset}/benchmarks/evaluate_localization/{split}-{task}.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("evaluate_localization"),
        tracked=tracked_params("evaluate_localization"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.evaluate_localization --config {params.config:q} --task {wildcards.task}"
        " --corpus {input.corpus:q} --detections {input.detections:q} --split {wildcards.split}"
        " --output {output.scores:q}"


rule analyze_localization:
    """Analyze detections by groups of instances and kinds of errors, and what features show of actions."""
    input:
        code=code_hash_of("analyze_localization"),
        corpus="results/{dataset}/corpus/manifest.json",
        detections=analyzed_detections,
        features=analyzed_features,
    output:
        analysis="results/{dataset}/localization_analysis/{split,val|test}.json",
        document="results/{dataset}/localization_analysis/{split}.md",
        picture="results/{dataset}/localization_analysis/{split}.png",
        similarity="results/{dataset}/localization_analysis/{split}_similarity.png",
    log:
        "results/{dataset}/logs/analyze_localization/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/analyze_localization/{split}.jsonl"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(120),
    params:
        config=config_params("analyze_localization"),
        tracked=tracked_params("analyze_localization"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.analyze_localization --config {params.config:q} --corpus {input.corpus:q}"
        " --detections results/{wildcards.dataset}/detections --features results/{wildcards.dataset}/features"
        " --split {wildcards.split} --output {output.analysis:q}"
