"""Corpus: one set of tables for every dataset.

REQUIRED INPUTS: annotation files and a folder of videos, as the section build_corpus names them; the datasets
`demo` and `demoacts` make their own.
OUTPUTS: results/{dataset}/corpus/manifest.json, beside it the tables and the reference files.
"""


rule make_demo:
    """Make the synthetic demo dataset."""
    input:
        code=code_hash_of("make_demo"),
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
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("make_demo"),
        tracked=tracked_params("make_demo"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.make_demo --config {params.config:q}"
        " --output {output.manifest:q}"


rule make_acts:
    """Make the synthetic dataset of acts, a small Something-Something."""
    input:
        code=code_hash_of("make_acts"),
    output:
        manifest="results/{dataset}/acts/manifest.json",
        train="results/{dataset}/acts/v2-train.json",
        validation="results/{dataset}/acts/v2-validation.json",
        labels="results/{dataset}/acts/labels.json",
        groups="results/{dataset}/acts/groups.json",
    log:
        "results/{dataset}/logs/make_acts.log",
    benchmark:
        "results/{dataset}/benchmarks/make_acts.jsonl"
    threads: 2
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("make_acts"),
        tracked=tracked_params("make_acts"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.make_acts --config {params.config:q}"
        " --output {output.manifest:q}"


rule build_corpus:
    """Read all annotations into tables; divide, clip, and list what is missing or left out."""
    input:
        code=code_hash_of("build_corpus"),
        annotations=annotations,
        generated=generated_videos,
    output:
        manifest="results/{dataset}/corpus/manifest.json",
    log:
        "results/{dataset}/logs/build_corpus.log",
    benchmark:
        "results/{dataset}/benchmarks/build_corpus.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("build_corpus"),
        tracked=tracked_params("build_corpus"),
        present=present_videos,
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.build_corpus --config {params.config:q}"
        " --output {output.manifest:q}"
