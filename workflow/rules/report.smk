"""Report: scores, the submission file, the page, and the trained model in a folder.

REQUIRED INPUTS: the ensemble's captions, the corpus, the shards' rejects; for the model the trained parts.
OUTPUTS: results/{dataset}_{split}_meteor.json, results/{dataset}_submission.json,
results/{dataset}/report/index.html with its tables and pictures, results/{dataset}/model/manifest.json and the model.
"""


rule evaluate:
    """Score the ensemble with ground-truth and learned proposals, and the control."""
    input:
        code=code_hash_of("evaluate"),
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        gt="results/{dataset}/captions/ensemble-{split}-gt.json",
        learned="results/{dataset}/captions/ensemble-{split}-learned.json",
        control="results/{dataset}/captions/ensemble-{split}-control.json",
    output:
        scores="results/{dataset}_{split,val|test}_meteor.json",
    log:
        "results/{dataset}/logs/evaluate/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/evaluate/{split}.jsonl"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("evaluate"),
        tracked=tracked_params("evaluate"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.evaluate dataset --config {params.config:q} --corpus {input.corpus:q}"
        " --videos results/{wildcards.dataset}/video --gt {input.gt:q} --learned {input.learned:q}"
        " --control {input.control:q} --split {wildcards.split} --output {output.scores:q}"


rule write_submission:
    """Write and validate the submission file for the official test set, which has no public references."""
    input:
        code=code_hash_of("write_submission"),
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        captions="results/{dataset}/captions/ensemble-submission-learned.json",
    output:
        submission="results/{dataset}_submission.json",
    log:
        "results/{dataset}/logs/write_submission.log",
    benchmark:
        "results/{dataset}/benchmarks/write_submission.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("write_submission"),
        tracked=tracked_params("write_submission"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.write_submission --config {params.config:q} --corpus {input.corpus:q}"
        " --videos results/{wildcards.dataset}/video --captions {input.captions:q} --output {output.submission:q}"


rule write_report:
    """Write the page: scores, training curves, and the test videos with captions beside those of the annotators."""
    input:
        code=code_hash_of("write_report"),
        scores="results/{dataset}_test_meteor.json",
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        gt="results/{dataset}/captions/ensemble-test-gt.json",
        learned="results/{dataset}/captions/ensemble-test-learned.json",
        control="results/{dataset}/captions/ensemble-test-control.json",
        trained=training_manifests,
    output:
        page="results/{dataset}/report/index.html",
    log:
        "results/{dataset}/logs/write_report.log",
    benchmark:
        "results/{dataset}/benchmarks/write_report.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("write_report"),
        tracked=tracked_params("write_report"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.write_report --config {params.config:q} --scores {input.scores:q} --corpus {input.corpus:q}"
        " --videos results/{wildcards.dataset}/video --gt {input.gt:q} --learned {input.learned:q}"
        " --control {input.control:q} --trained {input.trained:q} --output {output.page:q}"


rule bundle_model:
    """Write the trained model into one folder that can be moved and sent, with a model card."""
    input:
        code=code_hash_of("bundle_model"),
        captions="results/{dataset}/captions/ensemble-test-learned.json",
        scores="results/{dataset}_test_meteor.json",
        concepts="results/{dataset}/concepts.json",
        idf="results/{dataset}/idf.json",
        trained=training_manifests,
    output:
        manifest="results/{dataset}/model/manifest.json",
    log:
        "results/{dataset}/logs/bundle_model.log",
    benchmark:
        "results/{dataset}/benchmarks/bundle_model.jsonl"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("bundle_model"),
        tracked=tracked_params("bundle_model"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.bundle_model --config {params.config:q} --captions {input.captions:q}"
        " --scores {input.scores:q} --concepts {input.concepts:q} --idf {input.idf:q}"
        " --dataset {wildcards.dataset} --output {output.manifest:q}"
