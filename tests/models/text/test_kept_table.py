"""Features of many sentences are kept in a file: the same ones, not encoded again, and never damaged ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.models.text import TextEncoder, TextNet, tower
from revalexo_clip.models.text.kept_table import table_name
from revalexo_clip.models.text.tower import TextTower

SENTENCES = ("standing", "walking", "a person walks")


class Lengths(TextEncoder):
    """Frozen features of the length of a sentence; `scale` is a weight."""

    scale: float = 1.0

    @property
    def is_frozen(self) -> bool:
        return True

    def build(self) -> TextNet:
        return LengthsNet(self.scale)


class LengthsNet(TextNet):
    feature_dim = 2

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([scale, 0.1]))
        self.encoded = 0

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        return torch.tensor([[len(sentence)] for sentence in sentences])

    def forward(self, token_BS: Tensor) -> Tensor:
        self.encoded += len(token_BS)
        return token_BS * self.weight

    def digest(self) -> str:
        return hashlib.sha256(f"{self.weight.tolist()}".encode()).hexdigest()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower, "MANY", 3)


def table(folder: Path, sentences: Sequence[str] = SENTENCES, scale: float = 1.0) -> tuple[Tensor, int]:
    """Return the table of a new tower, and how many sentences its encoder has encoded for it."""
    found = TextTower(Lengths(scale=scale), 4)
    found.set_sentences(sentences, folder)
    net = found._frozen[0]
    assert isinstance(net, LengthsNet)
    return found.table, net.encoded


def expected(sentences: Sequence[str] = SENTENCES, scale: float = 1.0) -> Tensor:
    return torch.tensor([[len(sentence)] for sentence in sentences]) * torch.tensor([scale, 0.1])


def test_many_sentences_are_encoded_once(tmp_path: Path) -> None:
    for encoded in (3, 0, 0):
        found, count = table(tmp_path)
        assert torch.equal(found, expected())
        assert count == encoded
    assert len(list(tmp_path.iterdir())) == 1


def test_other_sentences_and_other_weights_have_files_of_their_own(tmp_path: Path) -> None:
    for sentences, scale in ((SENTENCES, 1.0), (SENTENCES[::-1], 1.0), (SENTENCES, 2.0), (("a", "bc", "d"), 1.0)):
        for encoded in (3, 0):
            found, count = table(tmp_path, sentences, scale)
            assert torch.equal(found, expected(sentences, scale))
            assert count == encoded


@pytest.mark.parametrize("place", [-1, 40, 0])
def test_a_damaged_file_is_written_again(tmp_path: Path, place: int) -> None:
    table(tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert table(tmp_path)[1] == 3
    path.write_bytes(path.read_bytes()[:-3])
    found, count = table(tmp_path)
    assert torch.equal(found, expected())
    assert count == 3
    assert table(tmp_path)[1] == 0


def test_few_sentences_and_a_folder_that_cannot_be_written_are_no_error(tmp_path: Path) -> None:
    assert table(tmp_path / "few", SENTENCES[:2])[1] == 2
    assert not (tmp_path / "few").exists()
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert table(tmp_path / "file" / "folder")[1] == 3


def test_the_same_weights_with_another_activation_are_another_file() -> None:
    one, other = LengthsNet(1.0), LengthsNet(1.0)
    one.activation, other.activation = nn.GELU(), nn.GELU(approximate="tanh")
    assert one.digest() == other.digest()
    assert table_name(one, SENTENCES) != table_name(other, SENTENCES)
