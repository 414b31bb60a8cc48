"""Names of datasets, and which dataset a result belongs to."""

import pytest

from pipeline.config.dataset_names import base_dataset, dataset_of_result, parse_seeded_name


def test_split_seed_and_base_of_split_names_with_a_seed_only() -> None:
    seeded = parse_seeded_name("demo_s31")
    assert seeded is not None
    assert (seeded.base, seeded.seed) == ("demo", 31)
    assert parse_seeded_name("demo_small") is None
    assert (base_dataset("demo_s31"), base_dataset("demo_smoke")) == ("demo", "demo_smoke")


@pytest.mark.parametrize(
    ("path", "dataset"),
    [
        ("results/demo/corpus/manifest.json", "demo"),
        ("results/demo_s31/report/index.html", "demo_s31"),
        ("results/demo_test_meteor.json", "demo"),
        ("results/my_demo_val_meteor.json", "my_demo"),
        ("results/demo_submission.json", "demo"),
        ("results/demo_pretraining.json", "demo"),
        ("results/demo_s31_ablation.png", "demo_s31"),
        ("results/demo_s31_attributes.md", "demo_s31"),
        ("results/my_demo_test_captions-top_down-0.json", "my_demo"),
        ("results/my_demo_test_captions-top_down-0-xe.json", "my_demo"),
        ("results/my_demo_test_captions-top_down.json", None),
        ("results/my_demo_test_recognition-joint_full.json", "my_demo"),
        ("results/demo_meteor.json", None),
        ("results/demo_ablation.txt", None),
        ("results/demo", None),
        ("elsewhere/demo_ablation.json", None),
        ("all", None),
    ],
)
def test_dataset_of_result_names_the_dataset_of_every_result(path: str, dataset: str | None) -> None:
    assert dataset_of_result(path) == dataset
