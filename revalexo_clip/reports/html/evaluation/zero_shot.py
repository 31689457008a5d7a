"""Zero-shot classification by sentences, and retrieval between windows and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports import zero_shot
from revalexo_clip.reports.html.cells import cell
from revalexo_clip.reports.html.page import Html, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.values import RETRIEVAL, Measured, child, list_of, measured, number, written


def section_body(found: JsonObject) -> Html:
    """Return the scores, those of each class, and the scores of retrieval."""
    modalities = zero_shot.measured_modalities(found)
    rows = [_row(title, child(found, name), zero_shot.SCORES) for name, title in modalities.items()]
    rows.append(_chance(child(found, "chance"), zero_shot.SCORES))
    parts = [paragraph(zero_shot.heading(found) + "."), table(["", *zero_shot.SCORES.values()], rows, kind="summary")]
    parts.append(_classes(found, modalities))
    if isinstance(found["retrieval"], dict):
        rows = []
        for way, result in child(found, "retrieval").items():
            assert isinstance(result, dict)
            title = f"{zero_shot.WAYS[way]} ({result['gallery_size']})"
            rows += [_row(title, result, RETRIEVAL), _chance(child(result, "chance"), RETRIEVAL)]
        parts.append(table(["Retrieval by sentences, gallery", *RETRIEVAL.values()], rows, kind="summary"))
    return joined([*parts, *(paragraph(note, "quiet") for note in zero_shot.notes(found))])


def _row(title: str, found: JsonObject, names: Mapping[str, str]) -> Html:
    return row([text(title), *(cell(name, measured(found, name)) for name in names)])


def _chance(found: JsonObject, names: Mapping[str, str]) -> Html:
    blind = (cell(name, Measured(number(found[name]))) for name in names)
    return row([tag("span", text("chance"), class_="open"), *blind])


def _classes(found: JsonObject, modalities: Mapping[str, str]) -> Html:
    """Return the first sentence, the number of windows and the recall of each class."""
    recalls = {name: list(_recalls(child(found, name))) for name in modalities}
    rows = []
    for place, (name, sentences) in enumerate(child(found, "classes").items()):
        of_class = (recalls[modality][place] for modality in modalities)
        windows = sum(int(str(count)) for count in list_of(list_of(child(found, "imu")["confusion"])[place]))
        shown = [written("accuracy", recall) for recall in of_class]
        rows.append(row([text(name), text(str(list_of(sentences)[0])), text(str(windows)), *map(text, shown)]))
    headings = ["Class", "sentence", "windows", *(f"recall, {title}" for title in modalities.values())]
    return table(headings, rows, kind="summary")


def _recalls(found: JsonObject) -> Iterator[float | None]:
    """Yield the share of each class's windows that are classified correctly; None if it has no windows."""
    for place, counts in enumerate(list_of(found["confusion"])):
        numbers = [int(str(count)) for count in list_of(counts)]
        yield numbers[place] / sum(numbers) if sum(numbers) else None
