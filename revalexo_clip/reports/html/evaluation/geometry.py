"""How the embeddings lie in the shared space, in figures, beside what good ones would be."""

from __future__ import annotations

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.html.page import Html, row, table, text
from revalexo_clip.reports.values import MINUS, MODALITIES, NONE, child, number


def geometry_table(geometry: JsonObject) -> Html:
    """Alignment, uniformity, modality gap and effective rank."""
    rows = [
        _row("alignment", number(geometry["alignment"]), "0: partners coincide; 2: they are unrelated"),
        _row("modality gap", number(geometry["modality_gap"]), "0: none; 2: on opposite sides"),
    ]
    for modality, title in MODALITIES.items():
        uniformity = number(child(geometry, "uniformity")[modality])
        rows.append(_row(f"uniformity, {title}", uniformity, f"{MINUS}4: spread evenly; 0: one point"))
    for modality, title in MODALITIES.items():
        rank = number(child(geometry, "effective_rank")[modality])
        rows.append(_row(f"effective rank, {title}", rank, f"{geometry['dimensions']}: all dimensions; 1: collapsed"))
    return table(["In the space itself", "", "what good looks like"], rows, kind="geometry")


def _row(title: str, value: float | None, meaning: str) -> Html:
    return row([text(title), text(NONE if value is None else f"{value:.2f}".replace("-", MINUS)), text(meaning)])
