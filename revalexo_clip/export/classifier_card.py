"""The model card of an exported activity classifier: its `README.md`."""

from __future__ import annotations

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.export.card_sections import card_header, imu_section, licence_section, subjects_section
from revalexo_clip.export.classifier_description import ClassifierDescription
from revalexo_clip.export.description import CLASSIFIER_ONNX
from revalexo_clip.export.model_card_results import evaluated_subjects, leakage_note
from revalexo_clip.reports.values import CLASSIFICATION, NONE, child, children, measured, when


def classifier_card(description: ClassifierDescription) -> str:
    """Write the model card: usage, input, output, training subjects, results, intended use and limits."""
    origin = description.origin
    tags = ("time-series", "imu", "human-activity-recognition")
    parts = [
        card_header("tabular-classification", tags, origin),
        f"# Activity classifier with {type(description.encoder).__name__}, finetuned on IMU windows",
        _summary(description),
        "## How to load it",
        _usage(description),
        "## Input",
        imu_section(description.imu),
        "## Output",
        _output(description),
        "## Data and subjects",
        subjects_section(origin, description.noun),
        "## Results",
        _results(origin.metrics),
        "## Intended use",
        "Research: the activity of a person from the IMUs listed above. It is not a medical device, and it was not "
        "tested for decisions about a person's health or for the control of an exoskeleton.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(description)),
        "## Licence",
        licence_section(origin),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(description: ClassifierDescription) -> str:
    origin = description.origin
    assert origin.epoch is not None
    assert origin.step is not None
    return (
        f"The activity classifier of experiment `{origin.experiment}`, trained for {counted(origin.epoch, 'epoch')} "
        f"({counted(origin.step, 'step')}) with revalexo_clip {origin.versions['trained_with']}. It predicts "
        f"{counted(len(description.labels), 'activity', 'activities')} at "
        f"{counted(len(description.horizons), 'horizon')}."
    )


def _usage(description: ClassifierDescription) -> str:
    own = all(type(one).__module__.startswith("revalexo_clip.") for one in description.components)
    source = "" if own else ', experiment_file="the file that defines its components"'
    rate = f"{description.imu.rate:g}"
    lines = [
        "from revalexo_clip import load_classifier",
        "",
        f'classifier = load_classifier("path/to/this/folder"{source})',
        "times, labels, probabilities = classifier.predict_recording(frame, rate=100.0)  # a recording, any rate [Hz]",
        f"stream = classifier.stream(rate={rate})  # samples as they come, at {rate} Hz",
    ]
    return "```python\n" + "\n".join(lines) + "\n```"


def _output(description: ClassifierDescription) -> str:
    horizons = ", ".join(f"{one:g} s" for one in description.horizons)
    rows = "\n".join(
        f"| {number} | {name} | {'yes' if name in description.trained_labels else '**no**'} |"
        for number, name in enumerate(description.labels)
    )
    text = (
        f"`classifier(window)` returns probabilities [B, {len(description.horizons)}, {len(description.labels)}]: for "
        f"each horizon after the end of the window ({horizons}), those of these activities:\n\n"
        f"| # | activity | in the training |\n| --- | --- | --- |\n{rows}"
    )
    if description.onnx is None:
        return text
    return (
        f"{text}\n\n`{CLASSIFIER_ONNX}` has the input `imu` and the outputs `logits` and `probabilities`, for any B. "
        f"Its outputs differ from torch by at most {description.onnx.difference:.1g} on {description.onnx.windows}."
    )


def _results(metrics: JsonObject | None) -> str:
    """Write the results of an evaluation, None if there was none: subjects, scores and chance at each horizon."""
    if metrics is None:
        return (
            "Not evaluated: there were no results of the training run or of `rxclip evaluate` on its own test subjects "
            "when it was exported."
        )
    rows = []
    for found in children(metrics, "horizons"):
        scored = child(found, "all")
        for title, scores in ((f"**{when(found['horizon'])}**", scored), ("chance", child(scored, "chance"))):
            cells = [_cell(scores, name) for name in CLASSIFICATION]
            rows.append(f"| {title} | {' | '.join(cells)} |")
    head = " | ".join(CLASSIFICATION.values())
    return (
        f"In {metrics['windows']} windows of {evaluated_subjects(metrics)}. In brackets, if there are any: 95% "
        "intervals, which say how results would vary with other moments of the same subjects.\n\n"
        f"| activity | {head} |\n| --- |{' --- |' * len(CLASSIFICATION)}\n" + "\n".join(rows) + leakage_note(metrics)
    )


def _cell(scores: JsonObject, name: str) -> str:
    found = measured(scores, name)
    if found.value is None:
        return NONE
    interval = "" if found.interval is None else f" ({found.interval[0]:.1%} to {found.interval[1]:.1%})"
    return f"{found.value:.1%}{interval}"


def _limits(description: ClassifierDescription) -> list[str]:
    spec = description.imu
    never = [name for name in description.labels if name not in description.trained_labels]
    return [
        "It was trained on the subjects, places and devices of one dataset, and not evaluated on others.",
        "Every window gets one of these activities, also if the person does something else: there is no answer "
        "'unknown'. Probabilities are not calibrated.",
        "It expects sensors at the places, with the axes and units above. Sensors that are worn elsewhere or rotated "
        "give other predictions.",
        f"Its input contains no frequencies above {spec.rate / 2:g} Hz, and nothing before the window of "
        f"{spec.window:g} s.",
        *([f"It could not learn what no training window has: {', '.join(never)}."] if never else []),
    ]
