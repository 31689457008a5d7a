"""Reading the motion of windows from a motion file."""

from __future__ import annotations

from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import MotionSpec
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.revalexo.motion.build import file_name, find_motion, make_motion
from revalexo_clip.data.revalexo.motion.file import MotionTables
from revalexo_clip.data.source import MotionSource
from revalexo_clip.motion.track import Float32, resample, span_of


class MotionFiles(MotionSource):
    """The motion of indexed clips, from the dataset's motion file.

    If there is none that is up to date, it is made when the first window is read: training makes it before
    (`Recordings.prepare`), and a dataset can be built before that to check that it is valid.
    """

    def __init__(self, index: ClipIndex, motion: Motion, beside: Path | None) -> None:
        """Look for the motion file of the index's videos, also in the folder `beside`."""
        self.index, self.settings, self.beside = index, motion, beside
        self.tables = self._found()

    def motion(self, clip: int, start: float, spec: MotionSpec) -> Float32:
        """See `MotionSource.motion`."""
        tables = self.tables = self.tables or self._made()
        video = str(self.index.video_N[clip])
        if problem := tables.problem(video):
            raise DataError(problem)
        edge_E = tables.edges(video)
        return resample(tables.track(video, edge_E, *span_of(edge_E, start, spec)), start, spec)

    def _found(self) -> MotionTables | None:
        return find_motion(self.index.root, self.settings, set(self.index.video_N.tolist()), self.beside)

    def _made(self) -> MotionTables:
        root = self.index.root
        if root.is_dir():
            make_motion(root, self.settings)
        found = self._found()
        if found is None:
            raise DataError(
                f"{root}: the motion of its videos is not measured ({file_name(self.settings)}), and the videos are "
                "missing or changed while they were measured"
            )
        return found
