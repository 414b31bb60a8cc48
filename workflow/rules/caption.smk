"""Train captioners, and caption proposals.

REQUIRED INPUTS: the corpus, features of all shards, the vocabulary; for generate_captions, proposals.
OUTPUTS: results/{dataset}/captioners/{captioner}/{seed}/{xe,scst}/manifest.json, and
results/{dataset}/captions/{captioner}-{seed}-{split}-{proposals}.json in ActivityNet's submission format. With -xe after
the seed, the captions come from the weights before finetune_scst.
"""


rule train_captioner:
    """Train a captioner by cross-entropy; a stopped run continues after its last epoch."""
    input:
        code=code_hash_of("train_captioner"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=captioner_features,
        vocabulary="results/{dataset}/vocabulary.json",
        files=captioner_files,
        teacher=captioner_teacher,
    output:
        manifest="results/{dataset}/captioners/{captioner}/{seed}/xe/manifest.json",
    log:
        "results/{dataset}/logs/train_captioner/{captioner}-{seed}.log",
    benchmark:
        "results/{dataset}/benchmarks/train_captioner/{captioner}-{seed}.jsonl"
    threads: 1
    resources:
        gpu=gpus("train_captioner", "captioner"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(1440),
    params:
        config=config_params("train_captioner", "captioner"),
        tracked=tracked_params("train_captioner", "captioner"),
        teacher=lambda wildcards, input: (
            ["--teacher", *input.teacher] if input.teacher else []
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.train_captioner --config {params.config:q} --seed {wildcards.seed}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --vocabulary {input.vocabulary:q} {params.teacher:q}"
        " --state results/{wildcards.dataset}/state/train_captioner/{wildcards.captioner}-{wildcards.seed}"
        " --output {output.manifest:q}"


rule finetune_scst:
    """Finetune a captioner by self-critical training; a stopped run continues after its last epoch."""
    input:
        code=code_hash_of("finetune_scst"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=captioner_features,
        proposals=scst_proposals,
        captioner="results/{dataset}/captioners/{captioner}/{seed}/xe/manifest.json",
    output:
        manifest="results/{dataset}/captioners/{captioner}/{seed}/scst/manifest.json",
    log:
        "results/{dataset}/logs/finetune_scst/{captioner}-{seed}.log",
    benchmark:
        "results/{dataset}/benchmarks/finetune_scst/{captioner}-{seed}.jsonl"
    threads: 1
    resources:
        gpu=gpus("finetune_scst"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(2880),
    params:
        config=config_params("finetune_scst"),
        tracked=tracked_params("finetune_scst"),
        proposals=lambda wildcards, input: (
            ["--proposals", *input.proposals] if input.proposals else []
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.finetune_scst --config {params.config:q} --seed {wildcards.seed}"
        " --corpus {input.corpus:q} --features results/{wildcards.dataset}/features"
        " --captioner {input.captioner:q} {params.proposals:q}"
        " --state results/{wildcards.dataset}/state/finetune_scst/{wildcards.captioner}-{wildcards.seed}"
        " --output {output.manifest:q}"


rule generate_captions:
    """Caption the proposals of a split. `control`: annotated events, each video with the features of another."""
    input:
        code=code_hash_of("generate_captions"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=captioner_features,
        captioner=lambda wildcards: finished_captioner(
            wildcards.dataset,
            wildcards.captioner,
            wildcards.seed,
            wildcards.before,
        ),
        proposals=lambda wildcards: (
            f"results/{wildcards.dataset}/proposals/"
            f"{'gt' if wildcards.proposals == 'control' else wildcards.proposals}.json"
        ),
    output:
        captions="results/{dataset}/captions/{captioner}-{seed}{before}-{split}-{proposals}.json",
    log:
        "results/{dataset}/logs/generate_captions/{captioner}-{seed}{before}-{split}-{proposals}.log",
    benchmark:
        "results/{dataset}/benchmarks/generate_captions/{captioner}-{seed}{before}-{split}-{proposals}.jsonl"
    threads: 1
    resources:
        gpu=gpus("generate_captions"),
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("generate_captions"),
        tracked=tracked_params("generate_captions"),
        control=lambda wildcards: (
            "--control" if wildcards.proposals == "control" else ""
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.generate_captions --config {params.config:q} --corpus {input.corpus:q}"
        " --features results/{wildcards.dataset}/features --captioner {input.captioner:q}"
        " --proposals {input.proposals:q} --split {wildcards.split} {params.control}"
        " --output {output.captions:q}"
