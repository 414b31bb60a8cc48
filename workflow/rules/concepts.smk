"""Concepts: what the words of the training sentences are.

REQUIRED INPUTS: the corpus.
OUTPUTS: results/{dataset}/concepts.json, vocabulary.json and idf.json.
"""


rule mine_concepts:
    """Mine semantic concepts, the caption vocabulary and the IDF of words from the training sentences."""
    input:
        code=code_hash_of("mine_concepts"),
        corpus="results/{dataset}/corpus/manifest.json",
    output:
        concepts="results/{dataset}/concepts.json",
        vocabulary="results/{dataset}/vocabulary.json",
        idf="results/{dataset}/idf.json",
    log:
        "results/{dataset}/logs/mine_concepts.log",
    benchmark:
        "results/{dataset}/benchmarks/mine_concepts.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(120),
    params:
        config=config_params("mine_concepts"),
        tracked=tracked_params("mine_concepts"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.mine_concepts --config {params.config:q} --corpus {input.corpus:q}"
        " --concepts {output.concepts:q} --vocabulary {output.vocabulary:q} --idf {output.idf:q}"
