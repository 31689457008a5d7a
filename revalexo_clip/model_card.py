"""The README.md of an exported encoder."""

from __future__ import annotations

from pydantic import JsonValue

from revalexo_clip.component import JsonObject
from revalexo_clip.exported import EncoderDescription
from revalexo_clip.report import counted
from revalexo_clip.types import ImuSpec

_SPLITS = {"val": "validation subjects", "test": "test subjects"}


def model_card(description: EncoderDescription) -> str:
    """What the encoder is, what it takes, what it has seen, how well it did, and how to load it; Markdown."""
    origin = description.origin
    parts = [
        f"# {type(description.encoder).__name__}, pretrained on {_plural(description)}",
        f"The {_long_name(description)} of experiment `{origin.experiment}`, trained to agree with "
        f"{'first-person video' if description.modality == 'imu' else 'body-worn IMUs'} of the same moment, for "
        f"{counted(origin.epoch, 'epoch')} ({counted(origin.step, 'step')}) with revalexo_clip "
        f"{origin.versions['trained_with']}.",
        "## Input",
        _input(description),
        "## Output",
        f"`encoder(window)` gives features [B, {description.embed_dim}] for downstream tasks; `encoder.embed(window)` "
        f"gives unit vectors [B, {description.embed_dim}] in the space shared with the other modality.",
        "## How to load it",
        _usage(description),
        "## Subjects it has seen",
        f"Trained on: {', '.join(origin.subjects.get('train', ()))}.\n"
        f"Selected on: {', '.join(origin.subjects.get('val', ()))}.\n\n"
        "None of them may be a test subject of a task that this encoder is used for.",
        "## Retrieval",
        _results(origin.metrics),
    ]
    return "\n\n".join(parts) + "\n"


def _long_name(description: EncoderDescription) -> str:
    return "IMU encoder" if description.modality == "imu" else "video encoder"


def _plural(description: EncoderDescription) -> str:
    return "IMU windows" if description.modality == "imu" else "first-person video"


def _input(description: EncoderDescription) -> str:
    if description.imu is not None:
        spec = description.imu
        rows = "\n".join(
            f"| {index} | `{name}` | {unit} |"
            for index, (name, unit) in enumerate(zip(spec.channels, spec.units, strict=True))
        )
        return (
            f"[B, {spec.samples}, {len(spec.channels)}] float32: windows of {spec.window:g} s at {spec.rate:g} Hz, "
            f"in these units and this order{_standardized(spec)}.\n\n"
            f"| # | channel | unit |\n| --- | --- | --- |\n{rows}"
        )
    spec_of_video = description.video
    assert spec_of_video is not None
    side = spec_of_video.crop
    return (
        f"[B, {spec_of_video.frames}, {side}, {side}, 3] uint8 RGB: {spec_of_video.frames} frames spread evenly over "
        f"{spec_of_video.window:g} s, first and last moment included, resized to a short side of "
        f"{spec_of_video.short_side} and cropped at the centre. Colour is normalised inside."
    )


def _standardized(spec: ImuSpec) -> str:
    return (
        ""
        if spec.mean is None
        else "; the encoder standardises them itself, with the mean and deviation in config.json"
    )


def _usage(description: EncoderDescription) -> str:
    call = "encoder(frames)  # uint8 tensor [B, T, H, W, 3]"
    if description.imu is not None:
        first = description.imu.channels[0]
        call = f'encoder({{"{first}": ..., ...}})  # every channel by name, or one tensor [B, L, C]'
    own = type(description.encoder).__module__.partition(".")[0] == __package__
    source = "" if own else ', experiment_file="the file that defines ' + type(description.encoder).__name__ + '"'
    return (
        "```python\nfrom revalexo_clip import load_encoder\n\n"
        f'encoder = load_encoder("path/to/this/folder"{source})\nfeatures = {call}\n```'
    )


def _results(metrics: JsonObject | None) -> str:
    if metrics is None:
        return "Not measured: `rxclip evaluate` had not been run on this checkpoint when it was exported."
    retrieval = metrics["retrieval"]
    assert isinstance(retrieval, dict)
    rows = [
        f"| {title} | {_percent(retrieval, key, 'r_at_1')} | {_percent(retrieval, key, 'r_at_5')} | "
        f"{_percent(retrieval, key, 'r_at_10')} | {_value(retrieval, key, 'mrr'):.3f} | "
        f"{_value(retrieval, key, 'median_rank'):.1f} |"
        for title, key in (("IMU to video", "imu_to_video"), ("video to IMU", "video_to_imu"), ("chance", "chance"))
    ]
    subjects = metrics["subjects"]
    assert isinstance(subjects, dict)
    return (
        f"Among {retrieval['gallery_size']} windows of {', '.join(subjects)} ({_SPLITS[str(metrics['split'])]}):\n\n"
        "| | R@1 | R@5 | R@10 | MRR | median rank |\n| --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows)
    )


def _percent(retrieval: JsonObject, direction: str, name: str) -> str:
    return f"{100 * _value(retrieval, direction, name):.1f}%"


def _value(retrieval: JsonObject, direction: str, name: str) -> float:
    values: JsonValue = retrieval[direction]
    assert isinstance(values, dict)
    return float(str(values[name]))
