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
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        config=section("make_demo"),
    shell:
        "python -m pipeline.make_demo --config {params.config:q}"
        " --output {output.manifest:q} > {log:q} 2>&1"


def generated_videos(wildcards):
    """Manifest of the raw videos where the pipeline makes them itself; users' own videos are not tracked one by one."""
    folder = Path(settings(wildcards.dataset).build_corpus.videos)
    return (
        [(folder.parent / "manifest.json").as_posix()]
        if folder.parts[:1] == ("results",)
        else []
    )


def present_videos(wildcards):
    """What the folder of the user's raw videos holds, in short: new or other videos rebuild the corpus."""
    if generated_videos(wildcards):
        return ""
    try:
        found = find_videos(Path(settings(wildcards.dataset).build_corpus.videos))
    except PipelineError:
        return ""  # the job itself tells what is wrong
    listed = [f"{path.name} {path.stat().st_size}" for path in found.values()]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def annotations(wildcards):
    """Annotation files that the section build_corpus names."""
    corpus = settings(wildcards.dataset).build_corpus
    mapped = [corpus.label_map] if corpus.label_map else []
    return [*corpus.actions, *corpus.captions, *mapped]


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
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        config=section("build_corpus"),
        present=present_videos,
    shell:
        "python -m pipeline.build_corpus --config {params.config:q}"
        " --output {output.manifest:q} > {log:q} 2>&1"
