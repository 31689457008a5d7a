"""Verifying everything in a pack, for `rxclip check-data`: training verifies only what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.revalexo.pack.checksums import BLOCK, Section, first_checks
from revalexo_clip.data.revalexo.pack.file import PackTables
from revalexo_clip.data.revalexo.pack.payload import Payload, read_blocks

SHOWN = 5
"""Frames that a message names."""


def wrong_clips(pack: PackTables, on_progress: OnProgress) -> Iterator[tuple[str, str]]:
    """Yield name and problem of each clip whose frames, times or samples are not what was packed.

    Reads the whole pack once. Raises `DataError` if it cannot be read.
    """
    payload, about = Payload(pack), pack.about
    frame_N1, value_N1 = pack.ints("clips/first_frame"), pack.ints("clips/first_value")
    check_N1, time_check_N = first_checks(value_N1), pack.ints("clips/time_check")
    for clip, name in enumerate(about.names):
        on_progress(clip, len(pack))
        first, end = int(frame_N1[clip]), int(frame_N1[clip + 1])
        if end > first:
            try:
                payload.times(first, end, int(time_check_N[clip]), name)
            except DataError as error:
                yield name, _without(pack.path, error)
            wrong = [frame for frame in range(end - first) if not _is_whole(payload, first, frame, name)]
            if wrong:
                yield name, f"frames {_numbered(wrong)} of {end - first}: corrupt: checksum mismatch"
        section = Section(int(value_N1[clip]), int(value_N1[clip + 1]), int(check_N1[clip]))
        if section.end > section.first:
            yield from ((name, problem) for problem in _wrong_samples(payload, section))
    on_progress(len(pack), len(pack))


def _is_whole(payload: Payload, first: int, frame: int, name: str) -> bool:
    try:
        payload.jpegs(first, np.array([frame]), name)
    except DataError:
        return False
    return True


def _wrong_samples(payload: Payload, section: Section) -> Iterator[str]:
    values, wrong, infinite = section.end - section.first, 0, 0
    blocks = range(0, values, BLOCK)
    for first in blocks:
        last = min(first + BLOCK, values)
        found, mismatch = read_blocks(payload.file, payload.values, section, first, last)
        wrong += mismatch is not None
        infinite += mismatch is None and not np.isfinite(found.astype(np.float32)).all()
    if wrong:
        yield f"{wrong} of {len(blocks)} blocks of samples: corrupt: checksum mismatch"
    if infinite:
        yield f"{infinite} of {len(blocks)} blocks of samples have values that are not finite"


def _numbered(wrong: Sequence[int]) -> str:
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return f"{', '.join(map(str, wrong[:SHOWN]))}{more}"


def _without(path: Path, error: DataError) -> str:
    return str(error).removeprefix(f"{path}: ").partition(": ")[2]
