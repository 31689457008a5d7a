"""Writing the lags that were found into the JSON files of a dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically
from revalexo_clip.data.revalexo import layout
from revalexo_clip.sync.result import Sync

KEY = "imu_offset"
_DECIMALS = 4


def write_offsets(root: Path, results: Sequence[Sync]) -> dict[str, float]:
    """Add the lag of each recording that is in time or off to `imu_offset` of its clips; return the new values [s].

    A drifting lag is taken in the middle of each clip. Everything else in the files stays as it is, but may be indented
    differently. Raises `DataError` if a file cannot be read, and `WriteError` if it cannot be written.
    """
    lag = {
        clip: found.lag_at(middle)
        for found in results
        if found.verdict != "cannot tell"
        for clip, middle in found.clips.items()
    }
    written: dict[str, float] = {}
    for subject, files in layout.subject_files(root).items():
        for path in files:
            written |= _edit(path, layout.clip_prefix(subject, path, files), lag)
    return written


def _edit(path: Path, prefix: str, lag: Mapping[str, float]) -> dict[str, float]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    written = {}
    for pair_id, pair in content["pairs"].items():
        if prefix + pair_id in lag:
            offset = round(pair.get(KEY, 0.0) + lag[prefix + pair_id], _DECIMALS)
            if offset != round(pair.get(KEY, 0.0), _DECIMALS):
                written[prefix + pair_id] = pair[KEY] = offset
    if written:
        indent = re.match(r"\s*\{\s*?\n([ \t]+)", text)
        with atomically(path) as temporary:
            temporary.write_text(
                json.dumps(content, indent=None if indent is None else indent[1], ensure_ascii=False) + "\n",
                encoding="utf-8",
            )
    return written
