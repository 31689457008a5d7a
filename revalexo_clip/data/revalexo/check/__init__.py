"""Validating a dataset: finds all problems, whereas training stops at the first one.

`problem` defines the kinds of problem, `description` checks the JSON files, `recording` checks IMU files, `clip` checks
videos and both files of a clip, `shared` compares the IMU rows of clips, `axes` the axes of sensors, `packed` verifies
packs, `dataset` checks all clips and compares them.
`command` is `rxclip check-data`, and `exclude` finds the clips to leave out for `data.on_bad_clip`.
"""

from revalexo_clip.data.revalexo.check.dataset import check_dataset
from revalexo_clip.data.revalexo.check.findings import Findings
from revalexo_clip.data.revalexo.check.problem import KINDS, Problem, Severity

__all__ = ["KINDS", "Findings", "Problem", "Severity", "check_dataset"]
