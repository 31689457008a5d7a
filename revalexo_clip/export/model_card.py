"""The model card of an exported encoder: its `README.md`."""

from __future__ import annotations

from revalexo_clip.core.text import counted
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.export.card_sections import imu_section, licence_section, subjects_section
from revalexo_clip.export.description import EncoderDescription
from revalexo_clip.export.model_card_header import card_header
from revalexo_clip.export.model_card_results import PROBE, probe_section, retrieval_section
from revalexo_clip.reports.values import object_of


def model_card(description: EncoderDescription) -> str:
    """Write the model card: usage, input, output, training subjects, retrieval results, intended use and limits.

    It is Markdown with a YAML header, as the Hugging Face Hub reads it: https://huggingface.co/docs/hub/model-cards.
    """
    parts = [
        card_header(description),
        f"# {type(description.encoder).__name__}, {_how(description)} {_plural(description)}",
        _summary(description),
        "## How to load it",
        _usage(description),
        "## Input",
        _input(description),
        "## Output",
        _output(description),
        "## Data and subjects",
        subjects_section(description.origin, description.noun),
        *(() if description.alone else ("## Retrieval", retrieval_section(description.origin.metrics))),
        *_probe(description),
        "## Intended use",
        _use(description),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(description)),
        "## Licence",
        licence_section(description.origin),
    ]
    return "\n\n".join(parts) + "\n"


def _probe(description: EncoderDescription) -> tuple[str, ...]:
    probe = (description.origin.metrics or {}).get(PROBE)
    return () if probe is None else ("## Linear probe", probe_section(object_of(probe)))


def _summary(description: EncoderDescription) -> str:
    origin = description.origin
    if origin.epoch is None or origin.step is None:
        if origin.licence is not None:
            return (
                f"An IMU encoder in the form of {origin.experiment}, imported from `{origin.checkpoint}` with "
                f"revalexo_clip {origin.versions['imported_with']}. The imported file does not contain channels, "
                "units, rate and window; check them below."
            )
        return (
            f"An IMU encoder that was trained elsewhere and imported from `{origin.checkpoint}` with revalexo_clip "
            f"{origin.versions['imported_with']}. Channels, units, rate and window are those of experiment "
            f"`{origin.experiment}`, because the imported file does not contain them."
        )
    partner = "first-person video" if description.modality == "imu" else "body-worn IMUs"
    how = "on IMU windows alone, without video" if description.alone else f"with {partner} of the same time window"
    frozen = ""
    if description.encoder.frozen == "all":
        nothing = description.headless and description.tokens is None
        trained = "nothing behind it was trained" if nothing else "only the projection behind it was trained"
        frozen = f" It was frozen: its weights are those that it had before, and {trained}."
    return (
        f"The {_long_name(description)} of experiment `{origin.experiment}`, pretrained contrastively {how}, for "
        f"{counted(origin.epoch, 'epoch')} ({counted(origin.step, 'step')}) with revalexo_clip "
        f"{origin.versions['trained_with']}.{frozen}"
    )


def _how(description: EncoderDescription) -> str:
    return "frozen, for" if description.encoder.frozen == "all" else "pretrained on"


def _output(description: EncoderDescription) -> str:
    features = (
        f"`encoder({_arguments(description)})` returns features [B, {description.feature_dim}] for downstream tasks"
    )
    if not description.projection:
        return f"{features}. There is no projection into a space shared with video, because the imported file had none."
    space = "in which augmentations of a window are close" if description.alone else "shared with the other modality"
    if description.origin.licence is not None:
        space = f"that the encoders of {description.origin.experiment} share"
    text = (
        f"{features}; `encoder.embed({_arguments(description)})` returns unit vectors [B, {description.retrieval_dim}] "
        f"in the space {space}{_headless(description)}{_tokens(description)}."
    )
    if description.onnx is None:
        return text
    return (
        f"{text} `encoder.onnx` has the {_onnx_inputs(description)} and the outputs `features` and `embedding`, for "
        f"any B. Its outputs differ from torch by at most {description.onnx.difference:.1g} on "
        f"{description.onnx.windows}."
    )


def _headless(description: EncoderDescription) -> str:
    return ", which are the features at unit length" if description.headless and description.tokens is None else ""


def _arguments(description: EncoderDescription) -> str:
    return {("motion",): "motion=motion", ("video", "motion"): "window, motion"}.get(description.inputs, "window")


def _tokens(description: EncoderDescription) -> str:
    if description.tokens is None or description.token_times is None:
        return ""
    first, last = description.token_times[0], description.token_times[-1]
    return (
        f": {description.tokens.count} tokens of {description.tokens.dim} values each, for moments from {first:.2f} to "
        f"{last:.2f} s of the window (`encoder.tokens`). `encoder.project(features)` returns embeddings of the whole "
        f"window [B, {description.embed_dim}]"
    )


def _onnx_inputs(description: EncoderDescription) -> str:
    names = [f"`{name}`" for name in description.inputs]
    return f"input{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def _use(description: EncoderDescription) -> str:
    if description.modality == "imu":
        return (
            "Research: features for activity classification from the IMUs listed above, with frozen weights or as "
            "initial weights. It is not a medical device, and it was not tested for decisions about a person's health "
            "or for the control of an exoskeleton."
        )
    return (
        "Research: features of a person's activity in first-person video, and embeddings to compare with those of IMU "
        "windows. It is not meant for identifying people."
    )


def _limits(description: EncoderDescription) -> list[str]:
    limits = ["It was trained on the subjects, places and devices of one dataset, and not evaluated on others."]
    if description.imu is not None:
        limits += [
            "It expects sensors at the places, with the axes and units above. Sensors that are worn elsewhere or "
            "rotated give other features.",
            f"Its input contains no frequencies above {description.imu.rate / 2:g} Hz, and nothing before the window "
            f"of {description.imu.window:g} s.",
        ]
    if description.projection:
        limits.append("The similarity of two embeddings is a score for ranking, not a probability.")
    return limits


def _long_name(description: EncoderDescription) -> str:
    return "IMU encoder" if description.modality == "imu" else "video encoder"


def _plural(description: EncoderDescription) -> str:
    return "IMU windows" if description.modality == "imu" else "first-person video"


def _input(description: EncoderDescription) -> str:
    if description.imu is not None:
        return imu_section(description.imu)
    spec_of_video = description.video
    assert spec_of_video is not None
    parts = {"video": _frames, "motion": _motion}
    return "\n\n".join(parts[name](spec_of_video) for name in description.inputs)


def _frames(spec: VideoSpec) -> str:
    bursts = "" if spec.burst == 1 else f", in {spec.frames} bursts of {spec.burst} adjacent frames"
    return (
        f"[B, {spec.images}, {spec.crop}, {spec.crop}, 3] uint8 RGB: {spec.images} frames{bursts} spread evenly over "
        f"{spec.window:g} s, first and last time included, resized to a short side of {spec.short_side} and cropped at "
        "the centre. The encoder normalises the colours."
    )


def _motion(spec: VideoSpec) -> str:
    motion = spec.motion
    assert motion is not None
    return (
        f"Measured motion [B, {motion.moments}, {motion.rows}, {motion.columns}, 3] float32: motion of the image to "
        f"the right and down [picture widths / s], and its confidence from 0 to 1, in a grid of {motion.rows} x "
        f"{motion.columns} cells, at {motion.rate:g} moments per second over {motion.window:g} s."
    )


def _usage(description: EncoderDescription) -> str:
    own = type(description.encoder).__module__.partition(".")[0] == __name__.partition(".")[0]
    source = "" if own else ', experiment_file="the file that defines ' + type(description.encoder).__name__ + '"'
    lines = ["from revalexo_clip import load_encoder", "", f'encoder = load_encoder("path/to/this/folder"{source})']
    if description.imu is None:
        shapes = {"video": "frames: uint8 [B, T, H, W, 3]", "motion": "motion: float32 [B, M, Y, X, 3]"}
        names = _arguments(description).replace("window", "frames")
        lines.append(f"features = encoder({names})  # {', '.join(shapes[name] for name in description.inputs)}")
    else:
        first = description.imu.channels[0]
        lines.append(f'features = encoder({{"{first}": ..., ...}})  # every channel by name, or one tensor [B, L, C]')
        slid = "embed_recording" if description.projection else "recording_features"
        lines.append(f"start, vectors = encoder.{slid}(frame, rate=100.0)  # a whole recording at any rate [Hz]")
    return "```python\n" + "\n".join(lines) + "\n```"
