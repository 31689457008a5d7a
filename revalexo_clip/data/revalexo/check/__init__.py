"""What is wrong with a dataset: all of it, where reading for training stops at the first.

`problem` names the kinds, `description` checks the JSON files, `recording` and `footage` check what is in the clips'
files, `clip` puts those two together for one clip, `dataset` does it for all clips and compares them.
"""

from revalexo_clip.data.revalexo.check.dataset import Findings, check_dataset
from revalexo_clip.data.revalexo.check.problem import KINDS, Problem, Severity

__all__ = ["KINDS", "Findings", "Problem", "Severity", "check_dataset"]
