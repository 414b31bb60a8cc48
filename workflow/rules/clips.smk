"""Clips: the synthetic ones, and the scores of captions of whole clips.

REQUIRED INPUTS: the corpus, the shards' rejects, the vocabulary, captions of whole clips, and for the ensemble those of
the control. The dataset `democlips` makes its own videos.
OUTPUTS: results/{dataset}/clips/manifest.json, next to it the clips and their captions;
results/{dataset}_{split}_captions.json; results/{dataset}_{split}_captions-{captioner}-{seed}.json; results/{dataset}/clip_analyses/{captioner}-{seed}-{split}.json, next to it a picture, and with
`analyze_clips.word_maps` more of them.
"""


rule make_clips:
    """Make the synthetic dataset of clips, a small MSR-VTT."""
    input:
        code=code_hash_of("make_clips"),
    output:
        manifest="results/{dataset}/clips/manifest.json",
        annotations="results/{dataset}/clips/videodatainfo.json",
    log:
        "results/{dataset}/logs/make_clips.log",
    benchmark:
        "results/{dataset}/benchmarks/make_clips.jsonl"
    threads: 2
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("make_clips"),
        tracked=tracked_params("make_clips"),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.make_clips --config {params.config:q}"
        " --output {output.manifest:q}"


rule evaluate_clips:
    """Score the ensemble's captions of clips, and the control, as COCO's evaluation does; or those of one captioner."""
    input:
        code=code_hash_of("evaluate_clips"),
        corpus="results/{dataset}/corpus/manifest.json",
        videos=shards("results/{dataset}/video/{shard}/manifest.json"),
        captions=clip_captions,
        control=control_captions,
        vocabulary="results/{dataset}/vocabulary.json",
    output:
        scores="results/{dataset}_{split,val|test}_captions{member}.json",
    log:
        "results/{dataset}/logs/evaluate_clips/{split}{member}.log",
    benchmark:
        "results/{dataset}/benchmarks/evaluate_clips/{split}{member}.jsonl"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("evaluate_clips"),
        tracked=tracked_params("evaluate_clips"),
        control=lambda wildcards, input: (
            ["--control", *input.control] if input.control else []
        ),
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.evaluate_clips --config {params.config:q} --corpus {input.corpus:q}"
        " --videos results/{wildcards.dataset}/video --captions {input.captions:q} {params.control:q}"
        " --vocabulary {input.vocabulary:q} --split {wildcards.split} --output {output.scores:q}"


rule analyze_clips:
    """Analyse a captioner of clips: similarity within categories, attributes, nearest clips, fewer frames."""
    input:
        code=code_hash_of("analyze_clips"),
        corpus="results/{dataset}/corpus/manifest.json",
        features=captioner_features,
        captioner=lambda wildcards: finished_captioner(
            wildcards.dataset, wildcards.captioner, wildcards.seed
        ),
        encoder=word_map_encoder,
        videos=word_map_videos,
    output:
        analysis="results/{dataset}/clip_analyses/{captioner}-{seed}-{split}.json",
        picture="results/{dataset}/clip_analyses/{captioner}-{seed}-{split}.png",
    log:
        "results/{dataset}/logs/analyze_clips/{captioner}-{seed}-{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/analyze_clips/{captioner}-{seed}-{split}.jsonl"
    threads: 1
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        config=config_params("analyze_clips"),
        tracked=tracked_params("analyze_clips"),
        word_maps=word_map_arguments,
    shell:
        "python -m workflow.scripts.run_job --log {log:q} --"
        " python -m pipeline.analyze_clips --config {params.config:q} --corpus {input.corpus:q}"
        " --features results/{wildcards.dataset}/features --captioner {input.captioner:q}"
        " {params.word_maps:q} --split {wildcards.split} --output {output.analysis:q}"
