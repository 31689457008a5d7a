"""Datasets: from the files on disk to windows of synchronized IMU and video.

`layout` reads the JSON files, `index` turns them into arrays, `windows` says where windows lie, `imu` and `video` read
them from the files of a dataset, `pack` from its packed form, `dataset` puts a window together, `composition` says
which ones meet in a batch, `sampler` which one is next. `imu_recordings` does without JSON files and video.
"""

from revalexo_clip.data.base import Dataset, LabelledWindows, Recordings, WindowDataset, Windows
from revalexo_clip.data.batches import BalancedBatches, BatchComposition, GroupedBatches, UniformBatches
from revalexo_clip.data.recordings.imu_recordings import ImuRecordings
from revalexo_clip.data.revalexo.revalexo import RevalExo

__all__ = [
    "BalancedBatches",
    "BatchComposition",
    "Dataset",
    "GroupedBatches",
    "ImuRecordings",
    "LabelledWindows",
    "Recordings",
    "RevalExo",
    "UniformBatches",
    "WindowDataset",
    "Windows",
]
