"""Texts that are hard for METEOR: few words, many repetitions, stems, synonyms, phrases, punctuation."""

from hypothesis import strategies as st

LINES = """
a the man men woman runs running ran jump jumps leap quickly fast speedy dog dogs hound skies sky in front of
in order to a lot of many take part in participate spoonful glasses better siblings teheran 's n't 3 3,000 u.s.
well-known sit-ups x. ... -lrb- -- & @ # % $ 1/2 \u00a0 été ` '' O'Neil A o'neil y'all l'été
"""
WORDS = [word for line in LINES.strip().split("\n") for word in line.split(" ")]

hard_captions = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
