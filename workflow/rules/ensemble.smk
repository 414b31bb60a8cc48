"""Ensemble: the best of several captions.

REQUIRED INPUTS: captions of the same proposals by every member, the concepts and the IDF.
OUTPUTS: results/{dataset}/captions/ensemble-{split}-{proposals}.json, and for each rung of the ladder that has several
captioners results/{dataset}/captions/{rung}-{split}-{proposals}.json.
"""


rule select_captions:
    """Keep, for each proposal, the caption with most concepts, then the rarest words."""
    input:
        code=stamp("select_captions"),
        captions=member_captions,
        concepts="results/{dataset}/concepts.json",
        idf="results/{dataset}/idf.json",
    output:
        captions="results/{dataset}/captions/{ensemble}-{split}-{proposals}.json",
    log:
        "results/{dataset}/logs/select_captions/{ensemble}-{split}-{proposals}.log",
    benchmark:
        "results/{dataset}/benchmarks/select_captions/{ensemble}-{split}-{proposals}.jsonl"
    params:
        config=section("select_captions", changes=ensembled),
        decides=deciding("select_captions", changes=ensembled),
    shell:
        "python -m pipeline.select_captions --config {params.config:q} --concepts {input.concepts:q}"
        " --idf {input.idf:q} --captions {input.captions:q} --output {output.captions:q} > {log:q} 2>&1"
