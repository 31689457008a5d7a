"""The YAML header of a model card, as the Hugging Face Hub reads it, with results in its `model-index`.

https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from revalexo_clip.core.component import JsonObject
from revalexo_clip.export.card_sections import licence_lines
from revalexo_clip.export.description import EncoderDescription
from revalexo_clip.export.model_card_results import PROBE, PROBE_SCORES, seen_subjects
from revalexo_clip.reports.values import object_of

_TYPES = {"macro_f1": "f1", "weighted_f1": "f1", "accuracy": "accuracy"}
"""Names of the probe's scores in the hub's list of metrics."""

_RETRIEVAL = {"r_at_1": "recall@1", "r_at_5": "recall@5", "r_at_10": "recall@10", "mrr": "mrr"}


def card_header(description: EncoderDescription) -> str:
    """Write the header of a model card, between its lines `---`."""
    imu = description.modality == "imu"
    tags = ("time-series", "imu", "human-activity-recognition") if imu else ("video", "egocentric-video")
    results = list(_results(description))
    metrics = sorted({type_ for _, _, scores in results for type_, _, _ in scores})
    lines = [
        "library_name: revalexo_clip",
        f"pipeline_tag: {'feature-extraction' if imu else 'video-classification'}",
        *licence_lines(description.origin.licence),
        "tags:",
        *(f"- {tag}" for tag in (*tags, "contrastive-learning")),
        *(("metrics:", *(f"- {metric}" for metric in metrics)) if metrics else ()),
        *(_model_index(description, results) if results else ()),
    ]
    return "\n".join(["---", *lines, "---"])


Scores = list[tuple[str, str, float]]
"""Type, name and value of each score."""


def _results(description: EncoderDescription) -> Iterator[tuple[str, str, Scores]]:
    """Yield the type and the name of each task with its scores.

    There are none if subjects were evaluated that were used in training: such results would look better than they are.
    """
    metrics = description.origin.metrics
    if metrics is None or seen_subjects(metrics):
        return
    other = "video" if description.modality == "imu" else "imu"
    retrieval = metrics.get("retrieval")
    directed = retrieval.get(f"{description.modality}_to_{other}") if isinstance(retrieval, dict) else None
    if isinstance(directed, dict):
        titles = {name: f"{description.modality} to {other}, {name}" for name in _RETRIEVAL}
        yield "feature-extraction", "Retrieval", _scores(directed, _RETRIEVAL, titles)
    probe = metrics.get(PROBE)
    if isinstance(probe, dict):
        task = "other" if description.modality == "imu" else "video-classification"
        titles = {name: f"{title} of a linear probe" for name, title in PROBE_SCORES.items()}
        yield task, "Activity classification with a linear probe", _scores(probe, _TYPES, titles)


def _scores(scores: JsonObject, types: Mapping[str, str], titles: Mapping[str, str]) -> Scores:
    values = {name: scores.get(name) for name in titles}
    return [(types[name], titles[name], float(x)) for name, x in values.items() if isinstance(x, int | float)]


def _model_index(description: EncoderDescription, results: list[tuple[str, str, Scores]]) -> Iterator[str]:
    origin = description.origin
    subjects = object_of((origin.metrics or {})["subjects"])
    dataset = origin.data or "unknown"
    tested = f"{dataset}, test subjects {', '.join(subjects)}"
    yield "model-index:"
    yield f"- name: {_text(f'{origin.experiment}, {description.modality} encoder')}"
    yield "  results:"
    for task, title, scores in results:
        yield "  - task:"
        yield f"      type: {task}"
        yield f"      name: {_text(title)}"
        yield "    dataset:"
        yield f"      type: {_text(dataset.lower())}"
        yield f"      name: {_text(tested)}"
        yield "    metrics:"
        for type_, name, value in scores:
            yield f"    - type: {_text(type_)}"
            yield f"      name: {_text(name)}"
            yield f"      value: {value!r}"


def _text(text: str) -> str:
    """Quote a text; JSON's quotes are YAML's, too."""
    return json.dumps(text, ensure_ascii=False)
