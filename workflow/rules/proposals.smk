"""Proposals: when something happens.

REQUIRED INPUTS: the corpus; for learned proposals features of all shards, and for a proposer with the encoder of a
captioner the captioner; for proposals of a file, the file.
OUTPUTS: results/{dataset}/proposers/{proposer}/manifest.json and the proposer beside it;
results/{dataset}/proposals/{proposals}.json, in ActivityNet's format.
"""


rule train_proposer:
    """Train a proposer on the annotated events of the split train."""
    input:
        code=code_hash_of("train_proposer"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=proposer_features,
        captioner=proposer_captioner,
    output:
        manifest="results/{dataset}/proposers/{proposer}/manifest.json",
    log:
        "results/{dataset}/logs/train_proposer/{proposer}.log",
    benchmark:
        "results/{dataset}/benchmarks/train_proposer/{proposer}.jsonl"
    threads: 1
    resources:
        gpu=gpus("train_proposer", "proposer"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(1440),
    params:
        config=config_params("train_proposer", "proposer"),
        tracked=tracked_params("train_proposer", "proposer"),
        captioner=lambda wildcards, input: (
            ["--captioner", *input.captioner] if input.captioner else []
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.train_proposer --config {params.config:q} --corpus {input.corpus:q}"
        " --features results/{wildcards.dataset}/features {params.captioner:q}"
        " --state results/{wildcards.dataset}/state/train_proposer/{wildcards.proposer}"
        " --output {output.manifest:q}"


rule propose_events:
    """Propose the events of every video: annotated events, those of a file, or those of a trained proposer."""
    input:
        code=code_hash_of("propose_events"),
        corpus="results/{dataset}/corpus/manifest.json",
        proposer=trained_proposer,
        features=proposal_features,
        file=proposal_file,
    output:
        proposals="results/{dataset}/proposals/{proposals}.json",
    log:
        "results/{dataset}/logs/propose_events/{proposals}.log",
    benchmark:
        "results/{dataset}/benchmarks/propose_events/{proposals}.jsonl"
    threads: 1
    resources:
        gpu=gpus("propose_events", "proposals"),
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("propose_events", "proposals"),
        tracked=tracked_params("propose_events", "proposals"),
        proposer=lambda wildcards, input: (
            [
                "--proposer",
                input.proposer[0],
                "--features",
                f"results/{wildcards.dataset}/features",
            ]
            if input.proposer
            else []
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.propose_events --config {params.config:q} --corpus {input.corpus:q}"
        " {params.proposer:q} --output {output.proposals:q}"
