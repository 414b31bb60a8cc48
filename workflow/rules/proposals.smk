"""Proposals: when something happens.

REQUIRED INPUTS: the corpus; for learned proposers features of all shards; for `file` the file.
OUTPUTS: results/{dataset}/proposals/{proposer}.json, in ActivityNet's format.
"""


rule propose_events:
    """Propose the events of every video: annotated, given or learned, as the config's `kind` says."""
    input:
        code=stamp("propose_events"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=proposer_features,
        given=given_proposals,
    output:
        proposals="results/{dataset}/proposals/{proposer}.json",
    log:
        "results/{dataset}/logs/propose_events/{proposer}.log",
    benchmark:
        "results/{dataset}/benchmarks/propose_events/{proposer}.jsonl"
    threads: 1
    resources:
        gpu=1,
    params:
        config=section("propose_events", "proposer"),
        decides=deciding("propose_events", "proposer"),
    shell:
        "python -m workflow.scripts.gpu_lease --gpus {resources.gpu} --"
        " python -m pipeline.propose_events --config {params.config:q} --corpus {input.corpus:q}"
        " --features results/{wildcards.dataset}/features"
        " --state results/{wildcards.dataset}/state/propose_events/{wildcards.proposer}"
        " --output {output.proposals:q} > {log:q} 2>&1"
