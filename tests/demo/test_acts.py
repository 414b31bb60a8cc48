"""The demo of acts: its plans, its frames, its annotations."""

from collections import Counter

import numpy as np
import pytest

from pipeline.config.make_acts import MakeActs
from pipeline.datasets.clip_labels import label_template_clips
from pipeline.datasets.something_something import TemplateClip
from pipeline.datasets.templates import class_name
from pipeline.demo.act_videos import (
    ADJECTIVES,
    NOUNS,
    ActPlan,
    act_annotations,
    act_classes,
    act_groups,
    draw_act,
    plan_acts,
)
from pipeline.demo.acts import ACTS, ActSpace
from pipeline.demo.scene import COLOURS

SPACE = ActSpace(x=0.6, y=0.5, direction=1, reach=0.35)
TIME = np.linspace(0, 1, 50)


@pytest.fixture(scope="module")
def plans() -> list[ActPlan]:
    return plan_acts(MakeActs(train_videos=56, val_videos=28))


def test_classes_are_equally_frequent_and_ids_differ(plans: list[ActPlan]) -> None:
    counts = Counter(plan.act for plan in plans)
    assert counts == dict.fromkeys(ACTS, 6)
    assert len({plan.id for plan in plans}) == len(plans)
    assert Counter(plan.subset for plan in plans) == {"training": 56, "validation": 28}


def test_plans_depend_on_the_seed() -> None:
    first, again, other = (plan_acts(MakeActs(train_videos=5, val_videos=1, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_objects_of_a_video_have_different_colours(plans: list[ActPlan]) -> None:
    for plan in plans:
        assert len({each.colour for each in plan.objects}) == len(plan.objects)
        assert len(plan.objects) == plan.template.count("[something]")


def test_every_group_has_two_classes_that_need_time() -> None:
    groups = act_groups()
    assert set(Counter(groups.values()).values()) == {2}
    assert {class_name(template) for template in groups} == act_classes().keys()
    # The motions of a group differ.
    by_group: dict[str, list[np.ndarray]] = {}
    for act in ACTS.values():
        poses = act.moves(TIME, SPACE)
        assert len(poses) == act.num_objects == len(act.scales)
        by_group.setdefault(act.group, []).append(np.stack([np.stack(pose) for pose in poses]))
    for first, second in by_group.values():
        assert np.abs(first - second).max() > 0.15


def test_away_and_closer_are_one_motion_in_two_directions_of_time() -> None:
    away, closer = (np.stack(ACTS[name].moves(TIME, SPACE)[0]) for name in ("away", "closer"))
    np.testing.assert_allclose(away, closer[:, ::-1], atol=1e-9)


def test_frames_show_the_objects_in_their_colours(plans: list[ActPlan]) -> None:
    plan = next(plan for plan in plans if plan.act == "up")
    frames = np.concatenate(list(draw_act(plan)))
    assert frames.shape == (plan.frames, plan.height, plan.width, 3)
    colour = np.array(COLOURS[plan.objects[0].colour])
    rows = [np.argwhere((np.abs(frame.astype(int) - colour) < 8).all(-1))[:, 0] for frame in frames[[0, -1]]]
    assert rows[0].mean() > rows[1].mean() + 20  # it moves up


def test_annotations_give_classes_groups_and_captions(plans: list[ActPlan]) -> None:
    entries = act_annotations(plans)
    clips = [TemplateClip(entry["id"], entry["template"], tuple(entry["placeholders"])) for entry in entries]
    groups = {class_name(template): group for template, group in act_groups().items()}
    labels = label_template_clips({"acts": clips}, sorted(act_classes()), groups)
    assert len(labels.clips) == len(plans)
    assert labels.counts["classes_without_clips"] == 0
    for plan, entry in zip(plans, entries, strict=True):
        clip = next(clip for clip in labels.clips if clip.video == plan.id)
        assert entry["label"] == clip.full.lower()
        full, simplified = clip.full.lower().split(), clip.simplified.lower().split()
        for each in plan.objects:
            assert {ADJECTIVES[each.shape], each.colour, NOUNS[each.colour]} <= set(full)
            assert NOUNS[each.colour] in simplified
            assert each.colour not in simplified
