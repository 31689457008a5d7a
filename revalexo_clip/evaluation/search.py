"""Search recordings for the moments that fit a sentence best, as `rxclip search` does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject, nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.progress import OnProgress, Progress, silent_progress
from revalexo_clip.core.types import Modality
from revalexo_clip.data import Dataset, LabelledWindows, WindowDataset
from revalexo_clip.data.dataset import LabelledClips, arrived, collate
from revalexo_clip.data.ego4d.dataset import NarratedTakes
from revalexo_clip.data.subjects import alike
from revalexo_clip.evaluation.dataset_embedding import SAME_TIME, best_without_overlap
from revalexo_clip.evaluation.held_out import check_same_imu, check_same_input, edited
from revalexo_clip.evaluation.text import load_text
from revalexo_clip.metrics.evaluated import Bools, Floats, Ints
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.reports.strip import write_strip
from revalexo_clip.runs.checkpoint import Checkpoint, load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.training.loaders import evaluation_batch_size

FRAMES, SIDE = 4, 96
"""Frames of a moment in the strip of frames, if windows themselves have none, and their side [px]."""


@dataclass(frozen=True)
class Moment:
    """A window that was found."""

    recording: str
    """`subject/pair id` of its clip."""
    start: float
    """Start in the clip [s]."""
    end: float
    """End in the clip [s]."""
    score: float
    """Cosine similarity to the sentence, -1 to 1."""


@dataclass(frozen=True)
class SearchResult:
    """The moments that fit a sentence best, the best first."""

    query: str
    checkpoint: Path
    moments: tuple[Moment, ...]
    strip: Path | None
    """PNG with the frames of the moments; None if there is no video."""

    def to_json(self) -> JsonObject:
        """Return what `--json` prints."""
        return {
            "query": self.query,
            "checkpoint": str(self.checkpoint),
            "moments": [asdict(moment) for moment in self.moments],
            "strip": None if self.strip is None else str(self.strip),
        }


def search(
    query: str,
    recordings: Sequence[str],
    *,
    ckpt: str | Path | None = None,
    data_root: str | Path | None = None,
    overrides: Sequence[str] = (),
    experiment_file: str | Path | None = None,
    modality: Modality = "imu",
    top: int = 5,
    out: str | Path | None = None,
    progress: Progress = silent_progress,
) -> SearchResult:
    """Return the `top` moments of some recordings that fit a sentence best; they do not overlap.

    `recordings` are subjects or clips of the dataset (`Subject10`, `10`, `Subject10/0003`). Seconds that a clip shares
    with another one are searched, too, and may be named by the other. Windows start every `data.eval_stride`, of Ego4D
    and `AlignedVideo` also far from narrations; `modality` is what is compared with the sentence. If there is video,
    frames of the moments are written to `out`, by default to `search/` in the run folder. The other arguments are those
    of `evaluate`.

    Raises `ConfigError` if the checkpoint has no text, or a recording does not exist or has no window; `DataError` if a
    file cannot be read or written, or if the data do not have the format of the training.
    """
    if not query.strip():
        raise ConfigError("the sentence to search for is empty")
    if not recordings:
        raise ConfigError("name the recordings to search: subjects (Subject10) or clips (Subject10/0003)")
    if top < 1:
        raise ConfigError(f"--top: {top}; it must be 1 or more")
    file = None if experiment_file is None else Path(experiment_file)
    if file is not None:
        import_experiment_file(file)
    checkpoint = load_checkpoint(find_checkpoint(None if ckpt is None else Path(ckpt)), file)
    tower = load_text(checkpoint)
    root = [] if data_root is None else [f"data.root={data_root}"]
    experiment = _of_subjects(edited(checkpoint.description.experiment, [*root, *overrides]), recordings)
    windows = _windows(checkpoint, experiment, modality)
    rows = _selected(windows, recordings)
    with progress("embedding") as on_progress:
        size = evaluation_batch_size(experiment.batch_size, experiment.micro_batch)
        window_MD = _embed(
            checkpoint.build_model(), windows, rows, modality=modality, size=size, on_progress=on_progress
        )
    score_M = (window_MD.double() @ tower.embed([query]).double()[0]).numpy()
    moments = _best(windows, rows, score_M, top)
    strip = Path(out) if out is not None else folder_of(checkpoint.path) / "search" / f"{_slug(query)}.png"
    with progress("frames"):
        drawn = _draw(experiment, query, moments, strip)
    return SearchResult(query, checkpoint.path, moments, strip if drawn else None)


def _of_subjects(experiment: PretrainExperiment, recordings: Sequence[str]) -> PretrainExperiment:
    """Return the experiment with the subjects of some recordings as its test subjects, and windows everywhere."""
    named = list(dict.fromkeys(name.partition("/")[0] for name in recordings))
    subjects = [name for place, name in enumerate(named) if not any(alike(name, other) for other in named[:place])]
    data = experiment.data.evaluating(tuple(subjects))
    if isinstance(data, NarratedTakes):  # a search is for what nobody has narrated, too
        data = data.model_copy(update={"around": "anywhere"})
    return experiment.model_copy(update={"data": data})


def _windows(checkpoint: Checkpoint, experiment: PretrainExperiment, modality: Modality) -> LabelledWindows:
    """Index the windows to search; those of IMU without their video."""
    if modality == "video":
        if experiment.video is None:
            raise ConfigError(f"--modality video: {checkpoint.path} was trained without video")
        windows: LabelledWindows = experiment.data.build("test", experiment.seed)
        check_same_input(checkpoint, windows)
        return windows
    windows = experiment.data.labelled("test", experiment.seed)
    check_same_imu(checkpoint.description.imu_spec, windows.imu_spec, checkpoint.path)
    return windows


def _selected(windows: LabelledWindows, recordings: Sequence[str]) -> Ints:
    """Return the windows in the time of the named recordings. Raises `ConfigError` if one has no windows."""
    chosen_N = np.zeros(len(windows), dtype=bool)
    for name in recordings:
        clips = [clip for clip in range(len(windows.clip_names)) if _is_named(name, windows, clip)]
        if not clips:
            raise ConfigError(f"no clip {name}{nearest(name, windows.clip_names)}")
        found_N = np.logical_or.reduce([_in_clip(windows, clip) for clip in clips])
        if not found_N.any():
            raise ConfigError(
                f"{name} has no window of {windows.imu_spec.window:g} s at a multiple of data.eval_stride; set a "
                "shorter stride or name another recording"
            )
        chosen_N |= found_N
    return np.flatnonzero(chosen_N)


def _is_named(name: str, windows: LabelledWindows, clip: int) -> bool:
    """Return whether a name is that of a clip, of its subject, or of the whole clip that it is a piece (`#1`) of."""
    subject, _, pair = name.partition("/")
    own = windows.clip_names[clip].partition("/")[2]
    return alike(subject, windows.clip_subjects[clip]) and pair in ("", own, own.rpartition("#")[0] or own)


def _in_clip(windows: LabelledWindows, clip: int) -> Bools:
    """Return which windows lie in the time of a clip, [N]; of seconds that clips share, they may be another clip's."""
    clip_N = windows.windows.clip_N
    own_N: Bools = clip_N == clip
    if not isinstance(windows, LabelledClips):
        return own_N
    times, offset = windows.index.times, float(windows.clip_offsets[clip])
    time_N = windows.windows.start_N + windows.clip_offsets[clip_N]
    begin, end = offset + times.begin_N[clip], offset + times.end_N[clip] - windows.imu_spec.window
    inside_N = (time_N >= begin - SAME_TIME) & (time_N <= end + SAME_TIME)
    same_N = windows.clip_recordings[clip_N] == windows.clip_recordings[clip]
    return np.asarray(own_N | (same_N & inside_N), dtype=bool)


@torch.no_grad()
def _embed(
    model: DualEncoder,
    windows: LabelledWindows,
    rows: Ints,
    *,
    modality: Modality,
    size: int,
    on_progress: OnProgress,
) -> Tensor:
    """Return the vectors of some windows that are compared with text, [M, D]."""
    found = []
    for first in range(0, len(rows), size):
        batch = arrived(collate([windows[0, int(row)] for row in rows[first : first + size]]))
        if modality == "video":
            vectors = model.encode_video(batch.video_BTHWC, batch.motion_BMYX3)
        else:
            vectors = model.encode_imu(batch.imu_BLC)
        found.append(vectors.embedding_BD)
        on_progress(min(first + size, len(rows)), len(rows))
    return torch.cat(found)


def _best(windows: LabelledWindows, rows: Ints, score_M: Floats, top: int) -> tuple[Moment, ...]:
    """Return the windows with the highest scores that share no time with a better one."""
    clip_M, start_M = windows.windows.clip_N[rows], windows.windows.start_N[rows]
    time_M, length = start_M + windows.clip_offsets[clip_M], windows.imu_spec.window
    best = best_without_overlap(score_M, windows.clip_recordings[clip_M], time_M, length, top)
    found = []
    for place in best.tolist():
        start = float(start_M[place])
        name = windows.clip_names[int(clip_M[place])]
        found.append(Moment(name, start, round(start + length, 6), float(score_M[place])))
    return tuple(found)


def _draw(experiment: PretrainExperiment, query: str, moments: Sequence[Moment], path: Path) -> bool:
    """Write the frames of moments; return whether there is video."""
    if not isinstance(experiment.data, Dataset):
        return False
    try:
        shown = experiment.data.build("test", experiment.seed)
    except DataError:  # these recordings have no video
        return False
    places = {
        (shown.clip_names[clip], start): index
        for index, (clip, start) in enumerate(
            zip(shown.windows.clip_N.tolist(), shown.windows.start_N.tolist(), strict=True)
        )
    }
    rows = [(moment, places[at]) for moment in moments if (at := (moment.recording, moment.start)) in places]
    if not rows:
        return False
    write_strip(path, query, [(_title(moment), _frames(shown, index)) for moment, index in rows])
    return True


def _frames(shown: WindowDataset, index: int) -> Tensor:
    return shown.shown_frames(index, FRAMES, SIDE)


def _title(moment: Moment) -> str:
    return f"{moment.recording}, {moment.start:.1f} to {moment.end:.1f} s, {moment.score:.2f}"


def _slug(query: str) -> str:
    """Return a file name for a query."""
    return re.sub(r"[^a-z0-9]+", "-", query.lower()).strip("-")[:60] or "query"
