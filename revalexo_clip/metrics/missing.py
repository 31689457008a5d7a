"""What a recogniser's test windows cannot show, in words: no labels, no transitions, activities that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.evaluated import Ints
from revalexo_clip.metrics.predictions import Predictions

_WHICH = {
    "all": "has a label",
    "steady": "with a label is in a steady state",
    "transition": "with a label is in a transition",
}


def no_window(among: str, horizon: float) -> str:
    """Why a set of windows is empty at a horizon."""
    return f"no window {_WHICH[among]} {horizon:g} s after its end"


def missing(
    predictions: Predictions, never_tested: Sequence[str], never_trained: Sequence[str] | None
) -> Iterator[str]:
    """A sentence for all that there is no figure for, and for figures that mean less than they seem to."""
    labelled_NK, transition_NK = predictions.label_NK != UNLABELLED, predictions.transition_NK
    count_K = labelled_NK.sum(axis=0)
    if not count_K.any():
        yield "No window has a label, so nothing was measured."
        return
    yield from _at_horizons(predictions, "all", count_K)
    for among, moving in (("steady", False), ("transition", True)):
        yield from _at_horizons(predictions, among, (labelled_NK & (transition_NK == moving)).sum(axis=0))
    occurring = [name for name in predictions.activities if name not in never_tested]
    if len(occurring) == 1:
        yield f"All windows are {occurring[0]}: the figures do not say whether activities are told apart."
    elif never_tested:
        said = {predictions.activities[label] for label in np.unique(predictions.predicted()[labelled_NK])}
        named = [name for name in never_tested if name in said]
        lower = f" Saying {', '.join(named)} all the same lowers the macro F1." if named else ""
        yield f"Never true of a test window, so that nothing is known of them: {', '.join(never_tested)}.{lower}"
    if never_trained:
        tested = [name for name in never_trained if name in occurring]
        held = f" Windows of {', '.join(tested)} count all the same, as missed." if tested else ""
        yield f"In no training window, so that they cannot be recognised: {', '.join(never_trained)}.{held}"


def _at_horizons(predictions: Predictions, among: str, count_K: Ints) -> Iterator[str]:
    empty = [f"{horizon:g} s" for horizon, count in zip(predictions.horizons, count_K, strict=True) if not count]
    if len(empty) == len(predictions.horizons):
        yield f"No window {_WHICH[among]}, so nothing is said of those."
    elif empty:
        yield f"No window {_WHICH[among]} {', '.join(empty)} after its end."
