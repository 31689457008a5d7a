"""The text encoder of our own: words and trigrams."""

from __future__ import annotations

import zlib

import torch

from revalexo_clip.models.text import WordText
from revalexo_clip.models.text.base import PADDING
from revalexo_clip.models.text.word_text import WordNet

SENTENCES = ("a person walks", "Walking up the stairs!", "")


def built() -> WordNet:
    torch.manual_seed(0)
    net = WordText(buckets=97, width=5, features=6).build()
    assert isinstance(net, WordNet)
    return net


def test_a_sentence_is_the_mean_of_its_words_and_trigrams_through_two_layers() -> None:
    net = built()

    def vector(text: str) -> torch.Tensor:
        return net.vectors.weight[zlib.crc32(text.encode()) % 97]

    parts = []
    for word, trigrams in (("a", ["<a>"]), ("walks", ["<wa", "wal", "alk", "lks", "ks>"])):
        parts += [vector(f"word {word}") for _ in trigrams] + [vector(trigram) for trigram in trigrams]
    mean = torch.stack(parts).mean(0)
    expected = net.output(torch.relu(net.hidden(mean)))
    torch.testing.assert_close(net(net.tokenize(["A walks."]))[0], expected)


def test_padding_does_not_change_features() -> None:
    net = built()
    together = net.tokenize(SENTENCES)
    assert (together[0] == PADDING).any()
    for place, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(net(together)[place], net(net.tokenize([sentence]))[0])
    assert net(together).isfinite().all()
    assert net.tokenize([]).shape == (0, 0)


def test_related_words_share_trigrams() -> None:
    net = built()
    walks, walking, stairs = (set(net.tokenize([word])[0].tolist()) for word in ("walks", "walking", "stairs"))
    assert len(walks & walking) > len(walks & stairs)


def test_the_digest_is_that_of_the_tokens() -> None:
    assert built().digest() == WordText(buckets=97).build().digest()
    assert built().digest() != WordText(buckets=98).build().digest()
