"""Names and folders of models: what is a path, and what is said if there is no such folder or no network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from revalexo_clip.core.errors import DataError
from revalexo_clip.models.encoders import HFImage, HFVideo, ResNetFrames
from revalexo_clip.models.hugging_face import hub_answers, is_path
from revalexo_clip.models.text import HFText

constants = pytest.importorskip("huggingface_hub").constants

from support.tiny_text_models import write_bert  # noqa: E402


@pytest.fixture
def never_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the library look for models at a place that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        hub_answers.cache_clear()
        yield
        hub_answers.cache_clear()


@pytest.mark.long
def test_what_can_only_be_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    paths = ("./clip", "../clip", ".", "~/clip", "/abs/clip", "a/b/c", "a/b/", "openai/", "models\\clip", "models/clip")
    assert all(map(is_path, paths))
    assert not any(map(is_path, ("bert-base-uncased", "openai/clip-vit-base-patch32", "models", "my.model")))


@pytest.mark.parametrize(
    "model", ["./models/clipp", "/no/such/folder", "~/no-such-clip", "models/clip/", "models/clip"]
)
@pytest.mark.usefixtures("never_answers")
def test_a_mistyped_folder_is_named_at_once_and_asked_for_nowhere(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    begun = time.monotonic()
    with pytest.raises(DataError, match=rf"^text\.model: there is no folder {model}; name one with config\.json"):
        HFText(model=model).build()
    for encoder in (HFImage(model=model), HFVideo(model=model), ResNetFrames(weights=model)):
        with pytest.raises(DataError, match=rf"^video\.(model|weights): there is no folder {model}; name one with"):
            encoder.known_architecture()
    assert hub_answers.cache_info().currsize == 0
    assert time.monotonic() - begun < 4


@pytest.mark.usefixtures("never_answers")
def test_without_network_the_name_of_a_model_fails_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revalexo_clip.models.hugging_face._PATIENCE", 0.3)
    begun = time.monotonic()
    name = "nobody/has-this"
    for read in (HFText(model=name).build, HFImage(model=name).known_architecture):
        with pytest.raises(DataError, match=r"\.model: nobody/has-this is no folder .*cannot be downloaded without"):
            read()
    assert time.monotonic() - begun < 10


@pytest.mark.usefixtures("never_answers")
def test_the_network_is_not_asked_if_only_local_files_may_be_read() -> None:
    with pytest.raises(DataError, match=r"text\.model: nobody/has-this cannot be loaded"):
        HFText(model="nobody/has-this", local_files_only=True).build()
    assert hub_answers.cache_info().currsize == 0


@pytest.mark.usefixtures("never_answers")
def test_a_folder_below_the_home_folder_is_found_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bert(tmp_path / "bert")
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = HFText(model=str(tmp_path / "bert")).build().digest()
    assert HFText(model="~/bert").build().digest() == expected
    monkeypatch.chdir(tmp_path)
    assert HFText(model="bert").build().digest() == expected
    assert hub_answers.cache_info().currsize == 0
