"""Sections that the model cards of encoders and of classifiers share.

A card is Markdown with a YAML header, as the Hugging Face Hub reads it: https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export.description import Noun, Origin


def card_header(pipeline: str, tags: Sequence[str], origin: Origin) -> str:
    """Return the YAML header."""
    lines = [
        "library_name: revalexo_clip",
        f"pipeline_tag: {pipeline}",
        *licence_lines(origin.licence),
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    return "\n".join(["---", *lines, "---"])


def licence_lines(licence: str | None) -> Iterator[str]:
    """Yield the licence in the header, with the link that its text contains."""
    yield "license: other"
    yield f"license_name: {'not-yet-chosen' if licence is None else 'see-the-section-licence'}"
    if licence is not None and (link := re.search(r"https?://[^\s)]+", licence)):
        yield f"license_link: {link[0]}"


def imu_section(spec: ImuSpec) -> str:
    """Return the format of IMU windows, with a table of the channels."""
    rows = "\n".join(
        f"| {index} | `{name}` | {unit} |"
        for index, (name, unit) in enumerate(zip(spec.channels, spec.units, strict=True))
    )
    scaled = "" if spec.mean is None else "; the encoder standardises them with the mean and deviation in config.json"
    return (
        f"[B, {spec.samples}, {len(spec.channels)}] float32: windows of {spec.window:g} s at {spec.rate:g} Hz, "
        f"in these units and this order{scaled}.\n\n"
        f"| # | channel | unit |\n| --- | --- | --- |\n{rows}"
    )


def subjects_section(origin: Origin, noun: Noun) -> str:
    """Return who was used in training."""
    data = f"Dataset type: `{origin.data}`.\n" if origin.data else ""
    if origin.subjects is None:
        return (
            "The training subjects are unknown. Results on subjects that may be among them do not measure "
            "generalisation."
        )
    uses = (("Trained on", "train"), ("Model selection on", "val"))
    seen = [f"{title}: {', '.join(subjects)}." for title, use in uses if (subjects := _of(origin, use))]
    return (
        data
        + "\n".join(seen)
        + f"\n\nDo not use any of them as test subjects with this {noun}. `{noun}.subjects` lists them."
    )


def _of(origin: Origin, use: str) -> tuple[str, ...]:
    return next((subjects for split, subjects in (origin.subjects or {}).items() if split == use), ())


def licence_section(origin: Origin) -> str:
    """Return what is known of the licence."""
    package = "The package that loads the weights is licensed under Apache-2.0, which does not apply to the weights."
    if origin.licence is not None:
        return f"These are weights of others. {origin.licence} {package}"
    return (
        "The publisher of these weights chooses their licence and writes it into the header of this file. The terms of "
        f"the training recordings and of initial weights may restrict that choice. {package}"
    )
