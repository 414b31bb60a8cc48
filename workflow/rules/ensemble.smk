"""Ensemble: select one caption per proposal.

REQUIRED INPUTS: captions of the same proposals by every member, the concepts and the IDF.
OUTPUTS: results/{dataset}/captions/{ensemble}-{split}-{proposals}.json; `ensemble` is the ensemble of the section
select_captions, any other name is a system of several members in a comparison (compare_systems).
"""


rule select_captions:
    """Select, for each proposal, the caption with the most concepts, then the one with the rarest word."""
    input:
        code=code_hash_of("select_captions"),
        captions=member_captions,
        concepts="results/{dataset}/concepts.json",
        idf="results/{dataset}/idf.json",
    output:
        captions="results/{dataset}/captions/{ensemble}-{split}-{proposals}.json",
    log:
        "results/{dataset}/logs/select_captions/{ensemble}-{split}-{proposals}.log",
    benchmark:
        "results/{dataset}/benchmarks/select_captions/{ensemble}-{split}-{proposals}.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("select_captions", changes=ensemble_members),
        tracked=tracked_params("select_captions", changes=ensemble_members),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.select_captions --config {params.config:q} --concepts {input.concepts:q}"
        " --idf {input.idf:q} --captions {input.captions:q} --output {output.captions:q}"
