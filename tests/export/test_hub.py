"""Encoders on a hub: real huggingface_hub, and a server on this machine that speaks the hub's endpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, constants
from support.hub_server import TOKEN, Hub, Repository, data_of, serving
from support.made_classifier import made_classifier
from support.small_process import call
from support.tiny_dataset import CHANNELS

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export import EncoderDescription, Origin, build_encoder, load_classifier, load_encoder
from revalexo_clip.export.classifier_card import classifier_card
from revalexo_clip.export.folder import write_folder
from revalexo_clip.export.push import push_to_hub
from revalexo_clip.export.writing import write_exported
from revalexo_clip.models.encoders import DeepConvLSTM

REPO = "anna/imu-encoder"


checks_cards_here = pytest.mark.skipif(
    int(huggingface_hub.__version__.partition(".")[0]) < 2,
    reason="before 2.0, huggingface_hub has the header of a card checked by the public hub, whatever the endpoint",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported encoder. Do not change it."""
    description = EncoderDescription(
        modality="imu",
        encoder=DeepConvLSTM(maps=4, hidden=8),
        embed_dim=16,
        imu=ImuSpec(("acc_Wrist_x", "acc_Wrist_y"), ("m/s^2",) * 2, rate=50.0, window=1.0),
        origin=Origin(
            experiment="wrist",
            checkpoint="best.ckpt",
            epoch=1,
            step=2,
            subjects={"train": ("A",), "val": ("B",)},
            versions={"trained_with": "0.1.0"},
        ),
    )
    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("exported") / "imu"
    write_folder(target, build_encoder(description).eval())
    return target


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, as `HF_ENDPOINT`, with an empty cache, from an empty working directory."""
    with serving() as hub, chdir(tmp_path):
        for name, value in {
            "ENDPOINT": hub.url,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "no token"),
            "HF_HUB_DISABLE_XET": True,  # else files go to a store of Xet's own protocol
            "HF_HUB_DISABLE_PROGRESS_BARS": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_an_encoder_is_loaded_from_the_hub(hub: Hub, folder: Path) -> None:
    hub.add(REPO, folder)
    encoder = load_encoder(REPO)
    assert same(encoder, load_encoder(folder))
    assert encoder.description == load_encoder(folder).description


@checks_cards_here
def test_a_classifier_is_pushed_and_loaded(hub: Hub, folder: Path, tmp_path: Path) -> None:
    classifier = made_classifier()
    trained = {"epoch": 1, "step": 1, "versions": {"trained_with": "0.1.0"}}
    origin = classifier.description.origin.model_copy(update=trained)
    description = classifier.description.model_copy(update={"origin": origin})
    write_exported(tmp_path / "classifier", classifier, description, classifier_card)
    push_to_hub(tmp_path / "classifier", REPO, token=TOKEN)
    assert same(load_classifier(REPO), classifier)
    with pytest.raises(ConfigError, match="not an exported encoder"):
        load_encoder(REPO)
    hub.add("anna/encoder", folder)
    with pytest.raises(ConfigError, match="not an exported classifier"):
        load_classifier("anna/encoder")


def test_only_named_files_are_downloaded(hub: Hub, folder: Path, tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "encoder.pt", "code.py", "optimizer.safetensors"):
        shutil.copytree(folder, tmp_path / "repo", dirs_exist_ok=True)
        (tmp_path / "repo" / name).write_bytes(b"anything")
    hub.add(REPO, tmp_path / "repo")
    load_encoder(REPO)
    assert hub.downloaded() == {"config.json", "model.safetensors", "README.md"}
    cached = {path.name for path in (tmp_path / "cache").rglob("snapshots/*/*")}
    assert cached == {"config.json", "model.safetensors", "README.md"}


def test_a_second_time_and_offline_the_cache_is_used(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add(REPO, folder).branches["main"]
    load_encoder(REPO)
    assert same(load_encoder(REPO, revision=commit), load_encoder(folder))
    first = len(hub.requests)
    assert same(load_encoder(REPO, local_files_only=True), load_encoder(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same(load_encoder(REPO), load_encoder(folder))
    assert len(hub.requests) == first
    with pytest.raises(DataError, match=r"^anna/other: is not in the cache, .* downloads are switched off"):
        load_encoder("anna/other")


def test_a_hub_that_is_down_leaves_the_cache(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, folder)
    load_encoder(REPO)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert same(load_encoder(REPO), load_encoder(folder))
    with pytest.raises(DataError, match=r"^anna/other: is not in the cache, and the hub does not answer as expected"):
        load_encoder("anna/other")


def test_a_revision_is_loaded(hub: Hub, folder: Path, tmp_path: Path) -> None:
    repository = hub.add(REPO, folder)
    other = shutil.copytree(folder, tmp_path / "other")
    write_folder(other, build_encoder(load_encoder(folder).description).eval())
    repository.commit("v2", {path.name: path.read_bytes() for path in other.iterdir()})
    assert same(load_encoder(REPO, revision="v2"), load_encoder(other))
    assert not same(load_encoder(REPO), load_encoder(other))
    with pytest.raises(ConfigError, match=r"^anna/imu-encoder: has no revision v3$"):
        load_encoder(REPO, revision="v3")


def test_a_local_folder_takes_precedence(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.add(REPO, folder)
    shutil.copytree(folder, tmp_path / REPO)
    load_encoder(REPO)
    assert hub.requests == []
    with pytest.raises(ConfigError, match=r"^anna/imu-encoder is a local folder; revision apply to the hub only"):
        load_encoder(REPO, revision="main")


@pytest.mark.parametrize(
    "path",
    ["x", "./x", "../x/y", "x/y/z", "/x/y", "~/x", "x/", "encoders/imo", "x\\y", "https://hf.co/x/y", Path("x/y")],
)
def test_a_mistyped_local_path_is_refused_at_once(hub: Hub, path: str | Path, tmp_path: Path) -> None:
    (tmp_path / "encoders" / "imu").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"config\.json: no such file; .* is not an exported encoder"):
        load_encoder(path)
    assert hub.requests == []


def test_what_is_not_there_or_not_allowed_is_one_sentence(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^anna/none: no such model on the hub, or it is private"):
        load_encoder("anna/none")
    hub.add("anna/private", folder, Repository(private=True))
    with pytest.raises(ConfigError, match=r"^anna/private: no such model on the hub, or it is private"):
        load_encoder("anna/private")
    assert same(load_encoder("anna/private", token=TOKEN), load_encoder(folder))
    hub.add("anna/gated", folder, Repository(gated=True))
    with pytest.raises(ConfigError, match=r"^anna/gated: its owner restricts access"):
        load_encoder("anna/gated")
    with pytest.raises(ConfigError, match=r"cannot be downloaded: the hub does not accept the token") as raised:
        load_encoder("anna/gated", token="hf_wrong")
    assert "hf_wrong" not in str(raised.value)


def test_the_model_of_another_library_is_refused_before_its_weights(hub: Hub, folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 768}))
    hub.add("anna/bert", other)
    with pytest.raises(ConfigError, match=r"^anna/bert: is not an exported encoder: its config\.json describes"):
        load_encoder("anna/bert")
    (other / "config.json").unlink()
    hub.add("anna/empty", other)
    with pytest.raises(ConfigError, match=r"^anna/empty: is not an exported encoder: it has no config\.json"):
        load_encoder("anna/empty")
    assert "model.safetensors" not in hub.downloaded()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_corrupt_file_is_one_sentence(hub: Hub, folder: Path, name: str) -> None:
    hub.add(REPO, folder)
    hub.corrupt = {name}
    with pytest.raises(DataError, match=f"^anna/imu-encoder: {name} is corrupt: its content does not have the digest"):
        load_encoder(REPO)


@checks_cards_here
def test_an_encoder_is_pushed_and_loaded_again(hub: Hub, folder: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    (mine / "encoder.pt").write_bytes(b"of another format")
    address = push_to_hub(mine, REPO, private=True, token=TOKEN)
    assert address == f"{hub.url}/{REPO}/commit/{hub.repositories[REPO].branches['main']}"
    assert hub.repositories[REPO].private
    assert hub.files(REPO) == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert same(load_encoder(REPO, token=TOKEN), load_encoder(folder))


@checks_cards_here
def test_pushing_again_replaces_our_files_and_keeps_others(hub: Hub, folder: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    (mine / "encoder.onnx").write_bytes(b"an export with --format onnx")
    push_to_hub(mine, REPO, token=TOKEN)
    assert "encoder.onnx" in hub.files(REPO)
    hub.repositories[REPO].commit("main", {**hub.files(REPO), "figure.png": b"png"})
    push_to_hub(folder, REPO, token=TOKEN)
    assert set(hub.files(REPO)) == {"README.md", "config.json", "model.safetensors", "figure.png"}


@checks_cards_here
def test_a_branch_is_made_for_a_revision(hub: Hub, folder: Path) -> None:
    push_to_hub(folder, REPO, revision="trial", token=TOKEN)
    assert hub.files(REPO) == {}
    assert set(hub.files(REPO, "trial")) == {"README.md", "config.json", "model.safetensors"}


@checks_cards_here
def test_the_publisher_names_licence_and_datasets(hub: Hub, folder: Path) -> None:
    push_to_hub(folder, REPO, licence="cc-by-nc-4.0", datasets=["anna/walks"], token=TOKEN)
    card = ModelCard(hub.files(REPO)["README.md"].decode())
    assert data_of(card).license == "cc-by-nc-4.0"
    assert data_of(card).license_name is None
    assert data_of(card).datasets == ["anna/walks"]
    assert card.text == ModelCard((folder / "README.md").read_text()).text
    push_to_hub(folder, REPO, licence="lab", licence_link="https://lab.example/licence", token=TOKEN)
    card = ModelCard(hub.files(REPO)["README.md"].decode())
    assert (data_of(card).license, data_of(card).license_name) == ("other", "lab")
    assert data_of(card).license_link == "https://lab.example/licence"


@checks_cards_here
def test_what_cannot_be_pushed_is_one_sentence(hub: Hub, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be uploaded: the hub does not accept the token"):
        push_to_hub(folder, REPO)
    with pytest.raises(ConfigError, match="cannot be uploaded: the hub does not accept the token"):
        push_to_hub(folder, REPO, token="hf_wrong")
    with pytest.raises(
        ConfigError, match=r"^others/encoder cannot be uploaded: the token does not have the permission"
    ):
        push_to_hub(folder, "others/encoder", token=TOKEN)
    with pytest.raises(ConfigError, match=r"the hub refuses the header of this card: .*license"):
        push_to_hub(folder, REPO, licence="not-a-licence", token=TOKEN)
    for name in ("encoder", "./encoder", "a/b/c"):
        with pytest.raises(ConfigError, match="is not the name of a repository on the hub"):
            push_to_hub(folder, name, token=TOKEN)
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"model\.safetensors: corrupt"):
        push_to_hub(damaged, REPO, token=TOKEN)
    assert hub.repositories == {}


@pytest.mark.long
@checks_cards_here
def test_a_command_pushes_and_another_one_embeds_from_the_hub(
    hub: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    chosen = ("--modality", "imu", "--ckpt", run, "--push-to", REPO, "--private", "--licence", "mit")
    pushed = call("export-encoder", *chosen, cwd=tmp_path)
    assert pushed.returncode == 0, pushed.stderr
    assert f"uploaded: {hub.url}/{REPO}/commit/" in pushed.stdout
    assert hub.repositories[REPO].private
    recording = np.random.default_rng(0).normal(0, 1, (300, len(CHANNELS)))
    np.savetxt(tmp_path / "walk.csv", recording, delimiter=",", header=",".join(CHANNELS), comments="")
    for encoder, out in ((REPO, "hub.npz"), (str(run / "export/imu"), "local.npz")):
        embedded = call("embed", "walk.csv", "--rate", "60", "--encoder", encoder, "--out", out, cwd=tmp_path)
        assert embedded.returncode == 0, embedded.stderr
    with np.load(tmp_path / "hub.npz") as ours, np.load(tmp_path / "local.npz") as theirs:
        np.testing.assert_array_equal(ours["embedding"], theirs["embedding"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--private",), "--private requires --push-to"),
        (("--push-to", "./encoder"), "'./encoder' is not the name of a repository on the hub"),
        (("--push-to", REPO, "--format", "revalexo"), "--format revalexo writes none"),
    ],
)
def test_an_export_that_could_not_be_pushed_is_not_begun(
    options: tuple[str, ...], says: str, run: Path, tmp_path: Path
) -> None:
    finished = call("export-encoder", "--modality", "imu", "--ckpt", run, *options, cwd=tmp_path)
    assert finished.returncode == 2
    assert says in finished.stderr
    assert not (run / "export").exists()


def test_without_the_library_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"this needs huggingface_hub; pip install 'revalexo-clip\[hub\]'"):
        load_encoder(REPO)
    with pytest.raises(ConfigError, match=r"this needs huggingface_hub; pip install 'revalexo-clip\[hub\]'"):
        push_to_hub(folder, REPO)


def test_the_library_is_the_real_one() -> None:
    assert huggingface_hub.__file__ is not None
    assert "site-packages" in huggingface_hub.__file__


def test_a_folder_is_loaded_by_hand_as_the_page_shows(folder: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    shown = page.partition("## By hand")[2].partition("```python\n")[2].partition("```")[0]
    windows = torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(1))
    names: dict[str, object] = {"windows": windows}
    shutil.copytree(folder, tmp_path / "folder")
    with chdir(tmp_path), torch.no_grad():
        exec(shown, names)
        expected = load_encoder(folder)(windows)
    found = names["features"]
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    lines = [line for line in shown.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
