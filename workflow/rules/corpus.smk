"""Corpus: one set of tables for every dataset.

REQUIRED INPUTS: annotation files and a folder of videos, as the section build_corpus names them; the dataset `demo`
makes its own.
OUTPUTS: results/{dataset}/corpus/manifest.json, beside it the tables and the reference files.
"""


rule make_demo:
    """Draw and encode a miniature ActivityNet."""
    input:
        code=stamp("make_demo"),
    output:
        manifest="results/{dataset}/source/manifest.json",
        actions="results/{dataset}/source/activity_net.v1-3.json",
        train="results/{dataset}/source/train.json",
        val_1="results/{dataset}/source/val_1.json",
        val_2="results/{dataset}/source/val_2.json",
    log:
        "results/{dataset}/logs/make_demo.log",
    benchmark:
        "results/{dataset}/benchmarks/make_demo.jsonl"
    threads: 2
    params:
        config=section("make_demo"),
        decides=deciding("make_demo"),
    shell:
        "python -m pipeline.make_demo --config {params.config:q}"
        " --output {output.manifest:q} > {log:q} 2>&1"


rule build_corpus:
    """Read all annotations into tables; divide, clip, and list what is missing or left out."""
    input:
        code=stamp("build_corpus"),
        annotations=annotations,
        generated=generated_videos,
    output:
        manifest="results/{dataset}/corpus/manifest.json",
    log:
        "results/{dataset}/logs/build_corpus.log",
    benchmark:
        "results/{dataset}/benchmarks/build_corpus.jsonl"
    params:
        config=section("build_corpus"),
        decides=deciding("build_corpus"),
        present=present_videos,
    shell:
        "python -m pipeline.build_corpus --config {params.config:q}"
        " --output {output.manifest:q} > {log:q} 2>&1"
