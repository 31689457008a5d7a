from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import DataError
from revalexo_clip.models.encoders.pretrained_weights import load_weights

NOWHERE = "file:///no/such/place/PUBLISHED.pyth"
CLASSIFIER = ("head.weight", "head.bias")


def backbone() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def checkpoint() -> dict[str, Tensor]:
    """Return the weights of a backbone and its classifier."""
    state = {
        name: torch.rand_like(tensor) if tensor.is_floating_point() else tensor + 7
        for name, tensor in backbone().state_dict().items()
    }
    return state | {"head.weight": torch.rand(5, 2), "head.bias": torch.rand(5)}


def load(module: nn.Module, weights: Path | str, published: str = NOWHERE) -> None:
    load_weights(module, str(weights), published=published, without=CLASSIFIER)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of torch.hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.mark.parametrize("wrapped", [False, True])
def test_all_weights_of_a_file_except_the_classifier_are_loaded(tmp_path: Path, wrapped: bool) -> None:
    state = checkpoint()
    torch.save({"model_state": state, "epoch": 3} if wrapped else state, tmp_path / "weights.pyth")
    module = backbone()
    load(module, tmp_path / "weights.pyth")
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_a_file_without_batch_counts_or_classifier_fits(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in checkpoint().items() if "tracked" not in name and "head" not in name}
    torch.save(state, tmp_path / "weights.pyth")
    module = backbone()
    load(module, tmp_path / "weights.pyth")
    assert torch.equal(module.state_dict()["1.running_var"], state["1.running_var"])


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    state = checkpoint()
    state["0.weight"] = torch.rand(4, 3, 5, 5)
    state["2.other"] = state.pop("2.weight")
    torch.save(state, tmp_path / "weights.pyth")
    module = backbone()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load(module, tmp_path / "weights.pyth")
    assert str(caught.value).splitlines() == [
        f"the weights in {tmp_path / 'weights.pyth'} do not fit the encoder:",
        "  0.weight is [4, 3, 5, 5] in the file, [4, 3, 3, 3] in the encoder",
        "  2.weight is missing from the file",
        "  2.other is in the file, but the encoder has no such weight",
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_only_the_first_differences_are_shown(tmp_path: Path) -> None:
    torch.save({"something": torch.zeros(1)}, tmp_path / "weights.pyth")
    with pytest.raises(DataError, match=r"0\.weight is missing[\s\S]*\.\.\. and 6 more"):
        load(backbone(), tmp_path / "weights.pyth")


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "not a checkpoint", id="empty"),
        pytest.param(b"<html>404 not found</html>", "not a checkpoint", id="web page"),
        pytest.param(b"PK\x03\x04 not really a zip", "not a checkpoint", id="broken archive"),
        pytest.param(saved({"model_state": checkpoint()})[:1500], "truncated", id="truncated"),
        pytest.param(saved({"model_state": Path("x")}), "not a checkpoint", id="pickled object"),
        pytest.param(saved([1, 2]), "contains no weights", id="a list"),
        pytest.param(saved({}), "contains no weights", id="an empty state"),
        pytest.param(saved({"epoch": 3}), "'epoch' is a int", id="numbers"),
    ],
)
def test_an_error_names_a_file_that_is_not_a_checkpoint(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "weights.pyth").write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        load(backbone(), tmp_path / "weights.pyth")
    assert str(tmp_path / "weights.pyth") in str(caught.value)


@pytest.mark.parametrize("name", ["missing.pyth", "."])
def test_an_error_names_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"no such weights file: .*kinetics400"):
        load(backbone(), tmp_path / name)


def test_published_weights_are_downloaded_once_into_the_cache_of_torch_hub(tmp_path: Path, cache: Path) -> None:
    state = checkpoint()
    torch.save({"model_state": state}, tmp_path / "PUBLISHED.pyth")
    for fetched in (False, True):
        assert (cache / "PUBLISHED.pyth").exists() == fetched
        module = backbone()
        load(module, "kinetics400", published=(tmp_path / "PUBLISHED.pyth").as_uri())
        assert torch.equal(module.state_dict()["0.weight"], state["0.weight"])
        (tmp_path / "PUBLISHED.pyth").unlink(missing_ok=True)


def test_a_failed_download_is_an_error_that_says_what_to_do(cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(backbone(), "kinetics400")
    message = str(caught.value)
    assert NOWHERE in message
    assert str(cache / "PUBLISHED.pyth") in message
    assert "--set video.weights=FILE" in message
    assert "--set video.weights=none" in message
    assert not (cache / "PUBLISHED.pyth").exists()


def test_an_error_names_a_corrupt_file_in_the_cache(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "PUBLISHED.pyth").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"checkpoints.PUBLISHED\.pyth is not a checkpoint"):
        load(backbone(), "kinetics400")
