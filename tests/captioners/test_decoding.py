"""Greedy captions and samples."""

import torch
from test_captioner_model import batch_of, captioner

from pipeline.captioners.decode import greedy, sample
from pipeline.captioners.vocabulary import END, UNK

EVENTS = [[(0, 2), (2, 5)], [(0, 7)]]


def test_greedy_words_are_the_likeliest_and_their_log_probabilities_the_models() -> None:
    model, batch = captioner().eval(), batch_of([5, 7], EVENTS)
    captions = greedy(model, batch)
    said = model(batch, captions.words)
    assert torch.equal(said.argmax(2)[captions.mask], captions.words[captions.mask])
    chosen = said.gather(2, captions.words[..., None]).squeeze(2)
    torch.testing.assert_close(captions.log_probs[captions.mask], chosen[captions.mask])
    assert (captions.log_probs[~captions.mask] == 0).all()


def test_greedy_goes_without_dropout_and_leaves_training_mode_on() -> None:
    model, batch = captioner(dropout=0.9).train(), batch_of([5, 7], EVENTS)
    first, second = greedy(model, batch), greedy(model, batch)
    assert torch.equal(first.log_probs, second.log_probs)
    assert model.training
    assert not first.log_probs.requires_grad


def test_samples_follow_the_models_probabilities() -> None:
    model = captioner(max_words=1).eval()
    batch = batch_of([4], [[(0, 4)] * 800])
    torch.manual_seed(0)
    drawn = sample(model, batch, 1.0).words[:, 0]
    expected = model(batch, torch.full((800, 1), 2))[0, 0].exp()
    frequencies = torch.bincount(drawn, minlength=len(expected)) / 800
    torch.testing.assert_close(frequencies, expected.detach(), atol=0.05, rtol=0)
    assert frequencies[END] == 0
    assert frequencies[UNK] == 0


def test_cold_samples_are_greedy() -> None:
    model, batch = captioner().eval(), batch_of([5, 7], EVENTS)
    assert sample(model, batch, 1e-4).ids() == greedy(model, batch).ids()


def test_log_probabilities_are_of_the_distribution_that_was_drawn_from() -> None:
    model, batch = captioner(max_words=1).eval(), batch_of([4], [[(0, 4)]])
    drawn = sample(model, batch, 0.5)
    state = model.words.begin(model.encode(batch))
    state = model.words.advance(model.encode(batch), state, torch.tensor([END]))
    tempered = (model.words.scores(state, first=True) / 0.5).log_softmax(1)
    torch.testing.assert_close(drawn.log_probs[:, 0], tempered[0, drawn.words[0]])
    assert drawn.log_probs.requires_grad


def test_captions_that_do_not_end_are_cut_and_hold_no_end() -> None:
    model, batch = captioner(max_words=4), batch_of([4], [[(0, 4)]])
    with torch.no_grad():
        model.words.output.bias[END] = -1e9
    captions = greedy(model, batch)
    assert captions.words.shape == (1, 4)
    assert END not in captions.words
    assert captions.mask.all()


def test_decoding_stops_when_all_captions_have_ended() -> None:
    model, batch = captioner(max_words=50), batch_of([5, 7], EVENTS)
    with torch.no_grad():
        model.words.output.bias[END] = 1e9
    captions = greedy(model, batch)
    assert captions.words.shape == (3, 2)
    assert [len(ids) for ids in captions.ids()] == [1, 1, 1]


def test_nothing_follows_a_captions_end() -> None:
    model, batch = captioner(max_words=12), batch_of([4], [[(0, 4)] * 100])
    torch.manual_seed(0)
    captions = sample(model, batch, 1.0)
    ended = (captions.words == END).cumsum(1) > 0
    assert ended.any()
    assert not ended.all()
    assert (captions.words[ended] == END).all()
    assert (captions.log_probs[~captions.mask] == 0).all()
    assert [len(ids) for ids in captions.ids()] == (~ended).sum(1).tolist()
