"""Models of the transformers library as video encoders: their features, and what is said if something is missing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.dual_encoder import FrameNormalization
from revalexo_clip.models.encoders import HFImage, HFVideo, ResNetFrames, VideoEncoder
from revalexo_clip.models.encoders.hf_base import HFEncoder, HFNet
from revalexo_clip.models.frame_tokens import FrameTokens, MomentHead
from revalexo_clip.models.sequence import Encoded

transformers = pytest.importorskip("transformers")

from support.tiny_vision_models import CROP, MEAN, PATCH, STD, tiny, write_tiny  # noqa: E402

IMAGES = ("clip", "siglip", "vit", "dinov2", "dinov3", "resnet")
VIDEOS = ("videomae", "vivit", "timesformer", "vjepa2")
PREFIX = {"clip": 1, "siglip": 0, "vit": 1, "dinov2": 1, "dinov3": 5}
"""Tokens before those of patches: the class token and DINOv3's four registers."""
PLACES = (CROP // PATCH) ** 2


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write_tiny(tmp_path_factory.mktemp(name), name) for name in (*IMAGES, *VIDEOS)}


def spec(frames: int = 3, burst: int = 2, crop: int = CROP) -> VideoSpec:
    return VideoSpec(frames=frames, crop=crop, short_side=crop, window=2.0, burst=burst, mean=(0.4, 0.45, 0.5))


def image(folder: Path, **fields: object) -> HFImage:
    return HFImage.model_validate({"model": str(folder), "local_files_only": True, **fields})


def video(folder: Path, **fields: object) -> HFVideo:
    return HFVideo.model_validate({"model": str(folder), "local_files_only": True, **fields})


def built(encoder: VideoEncoder, of: VideoSpec) -> HFNet:
    net = encoder.build(of, 5)
    assert isinstance(net, HFNet)
    encoder.load_pretrained(net)
    return net.eval()


def colours(of: VideoSpec) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, of.images, of.crop, of.crop, 3), dtype=torch.uint8, generator=generator)


def encoded(net: HFNet, of: VideoSpec) -> Encoded:
    with torch.no_grad():
        return net.sequence(FrameNormalization(of)(colours(of)))


def normalized(of: VideoSpec, *, offset: bool = False) -> Tensor:
    """Return frames [B, T, 3, H, W] as the library's processor gives them, by a plain loop."""
    frames: npt.NDArray[np.float64] = colours(of).numpy().astype(np.float64)
    found = np.zeros((*frames.shape[:2], 3, of.crop, of.crop))
    for channel in range(3):
        scaled = frames[..., channel] / 127.5 - 1 if offset else frames[..., channel] / 255
        found[:, :, channel] = (scaled - MEAN[channel]) / STD[channel]
    return torch.from_numpy(found).float()


def pooled_frame(name: str, pooling: str, output: object) -> Tensor:
    """Pool what the library's model gives for a frame."""
    if pooling == "model":
        own: Tensor = output.image_embeds if name == "clip" else output.pooler_output  # type: ignore[attr-defined]
        return own.flatten()
    state: Tensor = output.last_hidden_state[0]  # type: ignore[attr-defined]
    if name == "resnet":
        return state.flatten(1).mean(dim=1)
    return state[0] if pooling == "cls" else sum(state[PREFIX[name] :]) / len(state[PREFIX[name] :])  # type: ignore[return-value]


@pytest.mark.long
@pytest.mark.parametrize("name", IMAGES)
def test_image_models_give_what_the_library_gives_for_each_frame(models: dict[str, Path], name: str) -> None:
    of = spec()
    plain = tiny(name).model.from_pretrained(models[name]).eval()
    with torch.no_grad():
        output_BT = [[plain(pixel_values=frame[None]) for frame in window] for window in normalized(of)]
    for pooling in ("model", "cls", "mean"):
        encoder = image(models[name], pooling=pooling)
        if pooling == "cls" and name in {"siglip", "resnet"}:
            with pytest.raises(ConfigError, match=r"video\.pooling: .* has no class token; choose mean"):
                encoder.build(of, 5)
            continue
        net = built(encoder, of)
        pooled_BT = [[pooled_frame(name, pooling, output) for output in window] for window in output_BT]
        expected_BTP = torch.stack([torch.stack(window) for window in pooled_BT])
        found = encoded(net, of)
        assert encoder.feature_dim(5) == found.features_BF.shape[1] == net.sequence_dim == expected_BTP.shape[2]
        sequence = [(expected_BTP[:, 2 * moment] + expected_BTP[:, 2 * moment + 1]) / 2 for moment in range(3)]
        torch.testing.assert_close(found.sequence_BTE, torch.stack(sequence, dim=1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.features_BF, expected_BTP.mean(dim=1), rtol=1e-4, atol=1e-5)
        assert net.time_T.tolist() == list(net.frame_times) == [0, 1, 2]


MOMENTS = {"videomae": 2, "vivit": 2, "timesformer": 4, "vjepa2": 2}


@pytest.mark.parametrize("name", VIDEOS)
def test_video_models_give_what_the_library_gives_for_the_window(models: dict[str, Path], name: str) -> None:
    encoder, of = video(models[name]), spec(frames=2)
    net = built(encoder, of)
    plain = tiny(name).model.from_pretrained(models[name]).eval()
    with torch.no_grad():
        state_BNP = plain(normalized(of, offset=name == "vivit")).last_hidden_state
    moments = MOMENTS[name]
    rows = []
    for moment in range(moments):
        if name == "timesformer":  # the class token, then all moments of each place
            tokens = [1 + place * moments + moment for place in range(PLACES)]
        else:  # all places of each moment; ViViT has a class token
            tokens = [(name == "vivit") + moment * PLACES + place for place in range(PLACES)]
        rows.append(state_BNP[:, tokens].mean(dim=1))
    found = encoded(net, of)
    torch.testing.assert_close(found.sequence_BTE, torch.stack(rows, dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.features_BF, torch.stack(rows).mean(dim=0), rtol=1e-4, atol=1e-5)
    assert encoder.feature_dim(5) == found.features_BF.shape[1]
    assert net.time_T.tolist() == ([0, 0, 2, 2] if moments == 4 else [0, 2])


def test_a_tubelet_is_at_the_centre_of_its_frames(models: dict[str, Path]) -> None:
    net = video(models["videomae"]).build(spec(frames=4, burst=1), 5)
    assert isinstance(net, HFNet)
    assert net.time_T.tolist() == pytest.approx([1 / 3, 5 / 3])


@pytest.mark.parametrize(("name", "pooling"), [("vivit", "cls"), ("vivit", "model"), ("timesformer", "cls")])
def test_features_of_the_whole_video_have_one_moment(models: dict[str, Path], name: str, pooling: str) -> None:
    of = spec(frames=4, burst=1)
    net = built(video(models[name], pooling=pooling), of)
    plain = tiny(name).model.from_pretrained(models[name]).eval()
    with torch.no_grad():
        output = plain(normalized(of, offset=name == "vivit"))
    expected = output.pooler_output if pooling == "model" else output.last_hidden_state[:, 0]
    torch.testing.assert_close(encoded(net, of).features_BF, expected, rtol=1e-4, atol=1e-5)
    assert net.time_T.tolist() == [1]


@pytest.mark.parametrize("pooling", ["cls", "model"])
def test_video_models_without_features_of_the_whole_video_say_what_to_choose(
    models: dict[str, Path], pooling: str
) -> None:
    with pytest.raises(ConfigError, match=r"video\.pooling: .*choose mean"):
        video(models["videomae"], pooling=pooling).build(spec(frames=2), 5)


def test_features_of_frames_can_be_computed_one_by_one_and_kept(models: dict[str, Path]) -> None:
    of = spec()
    net = built(image(models["clip"], readout="statistics"), of)
    video_B3THW = FrameNormalization(of)(colours(of))
    with torch.no_grad():
        kept = torch.cat([net.model_features(video_B3THW[:, :, [frame]]) for frame in range(of.images)], dim=1)
        assert kept.shape == (2, net.moments, net.model_dim)
        found, expected = net.from_features(kept), net.encode(video_B3THW)
    torch.testing.assert_close(found.features_BF, expected.features_BF, rtol=1e-5, atol=1e-6)
    sequence_BTP = expected.sequence_BTE
    statistics = [
        sequence_BTP.mean(dim=1),
        sequence_BTP.std(dim=1, correction=0),
        sequence_BTP.amax(dim=1),
        sequence_BTP[:, -1],
    ]
    torch.testing.assert_close(expected.features_BF, torch.cat(statistics, dim=1), rtol=1e-3, atol=1e-3)
    assert image(models["clip"], readout="statistics").feature_dim(5) == 24
    assert MomentHead(net.frame_dim, FrameTokens())(expected.sequence_BTE).shape == (2, 3 * 64)


@pytest.mark.parametrize("name", ["clip", "dinov2", "dinov3", "vit", "vjepa2"])
def test_every_trained_weight_gets_a_gradient_and_nothing_is_random(models: dict[str, Path], name: str) -> None:
    encoder = (video if name in VIDEOS else image)(models[name], frozen=0, pooling="mean")
    of = spec(frames=2)
    net = built(encoder, of).train()
    video_B3THW = FrameNormalization(of)(colours(of))
    first, second = net(video_B3THW), net(video_B3THW)
    assert torch.equal(first, second)
    first.square().sum().backward()
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    assert len(trained) > 10
    assert all(parameter.grad is not None for parameter in trained)
    assert {name for name, each in net.model.named_parameters() if not each.requires_grad} <= net.unused


@pytest.mark.parametrize("name", ["clip", "dinov3", "resnet", "vjepa2"])
def test_blocks_are_what_precedes_the_layers_each_layer_and_what_follows(models: dict[str, Path], name: str) -> None:
    encoder: HFEncoder = (video if name in VIDEOS else image)(models[name], frozen=2)
    net = encoder.build(spec(frames=2), 5)
    blocks = encoder.blocks(net)
    assert len(blocks) == 4
    numbers = [id(parameter) for block in blocks for parameter in block.parameters()]
    assert sorted(numbers) == sorted(map(id, net.parameters()))
    assert len(set(numbers)) == len(numbers)
    frozen = [id(parameter) for block in encoder.frozen_blocks(net) for parameter in block.parameters()]
    assert frozen == numbers[: len(frozen)]
    assert 0 < len(frozen) < len(numbers)


def test_an_encoder_that_knows_its_architecture_needs_no_files(models: dict[str, Path], tmp_path: Path) -> None:
    of = spec(frames=2)
    for name in ("clip", "videomae", "resnet"):
        folder = shutil.copytree(models[name], tmp_path / name)
        encoder = (video if name in VIDEOS else image)(folder)
        state = built(encoder, of).state_dict()
        described = encoder.self_contained().model_dump_json()
        shutil.rmtree(folder)
        with pytest.raises(DataError, match=rf"video\.model: there is no folder {folder};"):
            encoder.build(of, 5)
        again = type(encoder).model_validate_json(described)
        net = again.build(of, 5)
        assert isinstance(net, HFNet)
        net.load_state_dict(state)
        assert again.feature_dim(5) == net.model_dim
        with pytest.raises(DataError, match=r"video\.model: there is no folder"):
            again.load_pretrained(net)


def test_frames_of_another_size_move_positions_or_are_refused(models: dict[str, Path]) -> None:
    of = spec(crop=48)
    net = built(image(models["clip"]), of)
    plain = tiny("clip").model.from_pretrained(models["clip"]).eval()
    with torch.no_grad():
        output = plain(pixel_values=normalized(of)[0], interpolate_pos_encoding=True)
    torch.testing.assert_close(encoded(net, of).features_BF[0], output.image_embeds.mean(0), rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match=r"36\^2 px cannot be divided into patches of 8\^2 px; --set data\.crop=32,"):
        image(models["clip"]).build(spec(crop=36), 5)
    with pytest.raises(ConfigError, match=r"videomae takes frames of 32\^2 px.*--set data\.crop=32"):
        video(models["videomae"]).build(spec(frames=2, crop=48), 5)


def test_other_numbers_of_frames_are_refused_unless_positions_are_relative(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"takes 4 frames, and windows have 6 .*--set data\.frames=4"):
        video(models["videomae"]).build(spec(), 5)
    with pytest.raises(ConfigError, match=r"takes a multiple of 2 frames, and windows have 3"):
        video(models["vjepa2"]).build(spec(burst=1), 5)
    of = spec()
    assert encoded(built(video(models["vjepa2"]), of), of).sequence_BTE.shape == (2, 3, 12)
    for encoder in (image(models["clip"]), video(models["videomae"]), ResNetFrames(weights=None)):
        with pytest.raises(ConfigError, match=r"windows have no frames.*--set data\.frames=4"):
            encoder.build(spec(frames=0), 5)
    with pytest.raises(ConfigError, match=r"takes 4 of 32\^2 px; --set data\.frames=4 --set data\.crop=32"):
        video(models["videomae"]).build(spec(frames=0), 5)


def test_weights_that_the_files_lack_are_not_drawn(models: dict[str, Path], tmp_path: Path) -> None:
    of = spec()
    shutil.copytree(models["vit"], tmp_path / "vit")
    transformers.ViTModel.from_pretrained(models["vit"], add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    with pytest.raises(DataError, match=r"video\.model: .*lacks weights that video\.pooling=model uses: pooler\.dense"):
        built(image(tmp_path / "vit"), of)
    first, second = (built(image(tmp_path / "vit", pooling="cls"), of).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    whole = built(image(models["vit"], pooling="cls"), of).state_dict()
    assert [name for name in first if not torch.equal(first[name], whole[name])] == [
        "model.pooler.dense.weight",
        "model.pooler.dense.bias",
    ]


def test_the_vision_half_of_clip_is_read_from_a_whole_clip(models: dict[str, Path], tmp_path: Path) -> None:
    plain = tiny("clip")
    whole = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
            vision_config=plain.config.to_dict(),
            projection_dim=6,
        )
    )
    whole.save_pretrained(tmp_path)
    shutil.copy(models["clip"] / "preprocessor_config.json", tmp_path)
    of = spec()
    net = built(image(tmp_path), of)
    with torch.no_grad():
        halves = whole.eval().vision_model(pixel_values=normalized(of)[0])
        expected = whole.visual_projection(halves.pooler_output)
    torch.testing.assert_close(encoded(net, of).features_BF[0], expected.mean(0), rtol=1e-4, atol=1e-5)
    assert not [name for name in net.state_dict() if "text" in name]


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (None, r"has no preprocessor_config\.json"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "needs image_mean and image_std with three numbers"),
        ({"image_mean": [0.5], "image_std": [0.5]}, "needs image_mean and image_std with three numbers"),
        ({"image_mean": [0.5] * 3, "image_std": [0.5, 0, 0.5]}, "std above 0"),
    ],
)
def test_colours_must_be_known(
    models: dict[str, Path], tmp_path: Path, described: dict[str, object] | None, said: str
) -> None:
    folder = shutil.copytree(models["clip"], tmp_path / "clip")
    file = folder / "preprocessor_config.json"
    file.unlink()
    if described is not None:
        file.write_text(json.dumps(described))
    with pytest.raises(DataError, match=rf"video\.model: .*{said}"):
        image(folder).build(spec(), 5)


def test_colours_of_a_processor_inside_another_file_and_without_normalisation(
    models: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(models["clip"], tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": {"do_normalize": False}}))
    architecture = image(folder).known_architecture()
    assert architecture.mean == (0.0, 0.0, 0.0)
    assert architecture.std == (1.0, 1.0, 1.0)


def test_models_of_another_kind_are_named(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(vjepa2\) is not a model of images .*HFVideo"):
        image(models["vjepa2"]).build(spec(), 5)
    with pytest.raises(ConfigError, match=r"\(videomae\) is not a model of images .*HFVideo"):
        image(models["videomae"], pooling="mean").build(spec(), 5)
    with pytest.raises(ConfigError, match=r"\(clip_vision_model\) is not one of the video models .*HFImage"):
        video(models["clip"]).build(spec(), 5)
    with pytest.raises(DataError, match=r"video\.model: there is no folder .*nothing; name one with config\.json"):
        image(tmp_path / "nothing").build(spec(), 5)
    (tmp_path / "damaged").mkdir()
    for file in ("config.json", "preprocessor_config.json"):
        shutil.copy(models["clip"] / file, tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"video\.model: .*cannot be loaded"):
        built(image(tmp_path / "damaged"), spec())


def test_a_resumed_run_takes_the_architecture_of_its_checkpoint_if_files_are_missing(
    models: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(models["clip"], tmp_path / "clip")
    encoder = image(folder)
    kept = encoder.self_contained()
    assert encoder.or_as_kept(kept) is encoder, "the files are there, and may differ"
    shutil.rmtree(folder)
    assert encoder.or_as_kept(kept) == kept
    assert kept.or_as_kept(encoder) is kept
    for other in (image(tmp_path / "other"), video(folder), ResNetFrames(weights=str(folder))):
        assert other.or_as_kept(kept) is other


@pytest.mark.long
@pytest.mark.parametrize(("size", "weights"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032)])
def test_resnets_have_the_published_number_of_weights(size: int, weights: int) -> None:
    encoder = ResNetFrames.model_validate({"size": size, "weights": None})
    with torch.device("meta"):
        model = encoder.known_architecture().build()
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    assert encoder.feature_dim(5) == (2048 if size == 50 else 512)


@pytest.mark.long
def test_a_resnet_of_files_is_the_librarys(tmp_path: Path, models: dict[str, Path]) -> None:
    torch.manual_seed(0)
    own = ResNetFrames(weights=None).known_architecture()
    plain = own.build()
    plain.save_pretrained(tmp_path)
    shutil.copy(models["resnet"] / "preprocessor_config.json", tmp_path)
    of = spec(frames=1)
    net = built(ResNetFrames(weights=str(tmp_path), local_files_only=True), of)
    with torch.no_grad():
        expected = plain(pixel_values=normalized(of)[0]).pooler_output.flatten(1).mean(0)
    torch.testing.assert_close(encoded(net, of).features_BF[0], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match=r"video\.weights: .* is not a ResNet-34: its depths is \[2, 2, 2, 2\]"):
        ResNetFrames(size=34, weights=str(tmp_path)).build(of, 5)
    with pytest.raises(DataError, match=r"video\.weights: there is no folder .*nothing"):
        ResNetFrames(weights=str(tmp_path / "nothing")).build(of, 5)


@pytest.mark.parametrize("encoder", [HFImage(model="x"), HFVideo(model="x"), ResNetFrames()])
def test_without_the_library_one_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, encoder: VideoEncoder
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=rf"video: {type(encoder).__name__} needs.*'revalexo_clip\[text\]'"):
        encoder.build(spec(), 5)
