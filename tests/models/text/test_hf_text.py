"""Text models of the transformers library: pooling, freezing, and what is said if something is missing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.models.text import HFText, TextEncoder, WordText
from revalexo_clip.models.text.base import PADDING
from revalexo_clip.models.text.hf_text import HFTextNet, Pooling
from revalexo_clip.models.text.kept_table import table_name
from revalexo_clip.models.text.tower import TextTower

transformers = pytest.importorskip("transformers")

from support.tiny_text_models import write_bert, write_clip_text, write_siglip_text, write_t5  # noqa: E402

SENTENCES = ("a person is walking up stairs", "standing")
TOKENS = ([2, 4, 5, 7, 8, 10, 11, 3], [2, 9, 3])
"""The numbers of the words of SENTENCES, between the marks for begin and end."""


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip_text(tmp_path_factory.mktemp("clip"))


def text(folder: Path, pooling: Pooling = "mean", **fields: object) -> HFText:
    given = {"model": str(folder), "pooling": pooling, "local_files_only": True, **fields}
    return HFText.model_validate(given)


def features(encoder: TextEncoder) -> Tensor:
    net = encoder.build().eval()
    with torch.no_grad():
        found: Tensor = net(net.tokenize(SENTENCES))
    assert found.shape == (2, net.feature_dim)
    return found


def test_tokens_are_those_of_the_models_tokenizer(bert: Path) -> None:
    net = text(bert).build()
    assert net.tokenize(SENTENCES).tolist() == [TOKENS[0], [*TOKENS[1], *[PADDING] * 5]]
    assert text(bert, max_length=4).build().tokenize(SENTENCES)[0].tolist() == [2, 4, 5, 3]


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "model"])
def test_bert_is_pooled_as_the_plain_model_is_without_padding(bert: Path, pooling: Pooling) -> None:
    plain = transformers.BertModel.from_pretrained(bert).eval()
    for row, tokens in zip(features(text(bert, pooling)), TOKENS, strict=True):
        with torch.no_grad():
            output = plain(input_ids=torch.tensor([tokens]))
        states_SF = output.last_hidden_state[0]
        expected = {
            "mean": states_SF.mean(0),
            "cls": states_SF[0],
            "last": states_SF[-1],
            "model": output.pooler_output[0],
        }
        torch.testing.assert_close(row, expected[pooling], rtol=1e-5, atol=1e-6)


def test_clips_text_model_gives_its_projection(clip: Path) -> None:
    plain = transformers.CLIPTextModelWithProjection.from_pretrained(clip).eval()
    for row, tokens in zip(features(text(clip, "model")), TOKENS, strict=True):
        with torch.no_grad():
            expected = plain(input_ids=torch.tensor([tokens])).text_embeds[0]
        assert row.shape == (6,)
        torch.testing.assert_close(row, expected, rtol=1e-5, atol=1e-6)
    assert features(text(clip, "mean")).shape == (2, 8)


def test_a_frozen_model_encodes_once_and_is_not_stored(bert: Path) -> None:
    tower = TextTower(text(bert), 5)
    tower.set_sentences(SENTENCES)
    torch.testing.assert_close(tower.table, features(text(bert)))
    assert set(tower.state_dict()) == {
        "digest",
        *(f"head.{part}.{kind}" for part in ("hidden", "output") for kind in ("weight", "bias")),
    }
    assert all(parameter.requires_grad for parameter in tower.parameters())
    text_B = torch.tensor([1, 0, 1])
    torch.testing.assert_close(tower(text_B), tower.embed([SENTENCES[1], SENTENCES[0], SENTENCES[1]]))


@pytest.mark.parametrize("kind", ["HFText", "WordText"])
def test_a_trained_model_gets_gradients_and_is_stored(kind: str, bert: Path) -> None:
    encoder = text(bert, frozen=0) if kind == "HFText" else WordText()
    tower = TextTower(encoder, 5).train()
    tower.set_sentences(SENTENCES)
    found = tower(torch.tensor([1, 0, 1]))
    assert torch.equal(found[0], found[2]), "no dropout"
    torch.testing.assert_close(found.detach(), tower.embed([SENTENCES[1], SENTENCES[0], SENTENCES[1]]))
    found[:, 0].sum().backward()
    assert any(name.startswith("net.") for name in tower.state_dict())
    assert tower.net is not None
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in tower.net.parameters())
    again = TextTower(encoder, 5)
    again.load_trained({f"x.{name}": value for name, value in tower.state_dict().items()}, "x.")
    torch.testing.assert_close(again.embed(SENTENCES), tower.embed(SENTENCES))


def test_other_weights_of_a_frozen_model_are_refused(bert: Path, tmp_path: Path) -> None:
    state = TextTower(text(bert), 5).state_dict()
    other = TextTower(text(write_bert(tmp_path, seed=1)), 5)
    with pytest.raises(DataError, match="HFText is not the encoder of the training"):
        other.load_trained(state, "")


def changed_config(folder: Path, target: Path, **entries: object) -> Path:
    """Copy a model, and change entries of its config.json."""
    shutil.copytree(folder, target)
    config = target / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | entries))
    return target


def test_the_same_weights_with_other_settings_are_another_encoder(bert: Path, tmp_path: Path) -> None:
    own = text(bert).build()
    other = text(changed_config(bert, tmp_path / "heads", num_attention_heads=1, layer_norm_eps=0.1))
    assert not torch.allclose(features(other), features(text(bert)))
    assert str(text(changed_config(bert, tmp_path / "printed", num_attention_heads=1)).build()) == str(own)
    assert table_name(other.build(), SENTENCES) != table_name(own, SENTENCES)
    with pytest.raises(DataError, match="HFText is not the encoder of the training"):
        TextTower(other, 5).load_trained(TextTower(text(bert), 5).state_dict(), "")
    for fields in ({"max_length": 5}, {"pooling": "cls"}):
        assert HFText.model_validate(text(bert).model_dump() | fields).build().digest() != own.digest()
    of_no_effect = {"transformers_version": "4", "architectures": None, "dtype": "float16", "_name_or_path": "x"}
    assert text(changed_config(bert, tmp_path / "same", **of_no_effect)).build().digest() == own.digest()


@pytest.fixture
def masked(bert: Path, tmp_path: Path) -> Path:
    """The folder of a masked language model, which has no pooler."""
    shutil.copytree(bert, tmp_path / "masked")
    transformers.BertForMaskedLM.from_pretrained(bert).save_pretrained(tmp_path / "masked")
    return tmp_path / "masked"


@pytest.mark.long
def test_weights_that_the_files_lack_are_not_drawn(bert: Path, masked: Path) -> None:
    for pooling in ("mean", "cls", "last"):
        torch.manual_seed(0)
        first = text(masked, pooling).build()
        torch.manual_seed(1)
        assert text(masked, pooling).build().digest() == first.digest() == text(bert, pooling).build().digest()
    with pytest.raises(DataError, match=r"lacks weights that pooling=model uses: pooler\.dense\.weight, pooler"):
        text(masked, "model").build()


@pytest.fixture(scope="module")
def models(bert: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    siglip, t5 = (write(tmp_path_factory.mktemp("model")) for write in (write_siglip_text, write_t5))
    return {"bert": bert, "clip": clip, "siglip": siglip, "t5": t5}


POOLED: dict[str, tuple[Pooling, ...]] = {
    **dict.fromkeys(("bert", "clip", "siglip"), ("mean", "cls", "last", "model")),
    "t5": ("mean", "cls", "last"),
}


@pytest.mark.parametrize(("name", "pooling"), [(name, pooling) for name, ways in POOLED.items() for pooling in ways])
def test_every_weight_that_is_trained_gets_a_gradient(models: dict[str, Path], name: str, pooling: Pooling) -> None:
    tower = TextTower(text(models[name], pooling, frozen=0), 5).train()
    tower.set_sentences(SENTENCES)
    tower(torch.tensor([0, 1])).square().sum().backward()
    trained = {name: weight for name, weight in tower.named_parameters() if weight.requires_grad}
    assert [name for name, weight in trained.items() if weight.grad is None] == []
    unused = {name for name, _ in tower.named_parameters()} - set(trained)
    of_siglip = {f"net.model.head.{kind}" for kind in ("weight", "bias")}
    assert unused == (of_siglip if name == "siglip" and pooling != "model" else set())


def test_a_model_without_pooled_output_says_what_to_choose(bert: Path) -> None:
    net = text(bert).build()
    assert isinstance(net, HFTextNet)
    with pytest.raises(DataError, match="use mean"):
        net._own(object())


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"text\.model: there is no folder .*nothing; name one with config\.json"):
        text(tmp_path / "nothing").build()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"config\.json"):
        text(tmp_path / "empty").build()


def test_without_the_library_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'revalexo_clip\[text\]'"):
        HFText(model="x").build()
