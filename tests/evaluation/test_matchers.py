"""METEOR's matchers: a pair of a caption and a phrase is looked up as one number."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.meteor.matchers import PairSet

BATCH = """
a trio of small black crosses are shaking from side to side | two black crosses shake from side to side
a trio of green crosses are spinning in place in a buzzer sounds | two large triangles spin in place
a single big blue cross can be seen wobbling growing to side | one square large and blue is shaking slowly from side \
to side while a tone beeps
a trio of rings black triangles are spinning slowly in place quickly while a buzzer sounds | three crosses are \
rotating in place while a buzzer sounds
a trio of small green little little and black are be seen spinning slowly in place | two green triangles are rotating \
slowly in place
a trio of small small red triangles are bouncing slowly up and down sound | there are two small red crosses bouncing \
slowly up and down with a beeping tone
a single little white ring start shaking quickly from side to side | a white triangle starts shaking quickly from side \
to side
a trio of red squares are shaking rapidly from side to side with a beeping tone | then we see two red crosses shaking \
rapidly from side to side while a tone beeps
a single big of white triangle can be seen circling slowly around | there are three big white crosses zigzagging \
slowly across the screen while a tone beeps
a trio of white rings are spinning in place | there are a trio of little white rings spinning in place
a trio of big blue blue is shaking quickly from side | one square large and blue is shaking slowly from side to side \
while a tone beeps
a trio of large black squares are shaking quickly from side to side with a beeping tone | two black crosses shake \
from side to side
"""
"""Captions of self-critical training and their references, in which the phrases of two captions were once confused."""

numbers = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(numbers, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=30))
def test_only_pairs_of_the_set_are_in_it(members: list[tuple[int, int]], searched: list[tuple[int, int]]) -> None:
    """Also if the second number is larger than all of the set."""
    members = list(dict.fromkeys(members))
    (left, right), (first, second) = (np.array(pairs, np.int64).reshape(-1, 2).T for pairs in (members, searched))
    size = 1 + max([number for pair in members for number in pair], default=0)
    in_set = [(index, members.index(pair)) for index, pair in enumerate(searched) if pair in members]
    assert list(zip(*PairSet(left, right, size).find(first, second), strict=True)) == in_set


def test_the_phrases_of_other_pairs_change_nothing(meteor: Meteor) -> None:
    pairs = [(caption, reference) for caption, reference in (line.split(" | ") for line in BATCH.strip().split("\n"))]
    statistics_one_by_one = np.concatenate([meteor.statistics([pair]) for pair in pairs])
    np.testing.assert_array_equal(meteor.statistics(pairs), statistics_one_by_one)
