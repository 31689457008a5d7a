"""Objects that reach loader workers which are no forks of the training process, as on macOS and Windows."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

from revalexo_clip.config.loading import experiment_files, import_experiment_file


class Portable:
    """Pickled with the experiment files that this process has imported.

    What they define is pickled by the name of its module, which no other process could import by that name.
    """

    def __getstate__(self) -> Mapping[str, object]:
        return {"files": experiment_files(), "content": pickle.dumps(self.__dict__)}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        files, content = state["files"], state["content"]
        assert isinstance(files, tuple)
        assert isinstance(content, bytes)
        for path in files:
            if path not in experiment_files():
                import_experiment_file(path)
        self.__dict__.update(pickle.loads(content))  # noqa: S301 - it comes from the process that started this one
