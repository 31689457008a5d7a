"""Datasets: from files on disk to windows of synchronized IMU and video.

- `base`: the interfaces that datasets implement
- `windows`: start times, samples, frames and labels of windows (arithmetic, no I/O)
- `index`: the clips of a dataset as arrays
- `source`, `imu`, `video`, `packets`: reading the IMU samples and video frames of a window
- `motion`: measuring the image motion of a video
- `resampling`: converting IMU recordings to another sampling rate
- `dataset`: windows as samples, and passing them from loader workers to training
- `batches`: batch composition and samplers
- `visits`: batch composition for slow storage
- `subjects`: splits by subject
- `revalexo/`: datasets in RevalExo's layout; `revalexo/check/` validates them, `revalexo/pack/` packs them,
  `revalexo/motion/` keeps their measured motion
- `ego4d/`: egocentric videos with an IMU table and narrations: Ego4D, and takes in folders of their own
- `recordings/`: labelled IMU recordings without video, from CSV or .npz files
- `synthetic/`: a synthetic dataset in RevalExo's layout
"""

from revalexo_clip.data.base import Dataset, LabelledWindows, Recordings, WindowDataset, Windows
from revalexo_clip.data.batches import BalancedBatches, BatchComposition, GroupedBatches, UniformBatches
from revalexo_clip.data.ego4d.aligned import AlignedVideo
from revalexo_clip.data.ego4d.ego4d import Ego4D
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.recordings.imu_recordings import ImuRecordings
from revalexo_clip.data.revalexo.revalexo import RevalExo
from revalexo_clip.data.subjects import SplitBySubject
from revalexo_clip.data.visits import VisitBatches

__all__ = [
    "AlignedVideo",
    "BalancedBatches",
    "BatchComposition",
    "Dataset",
    "Ego4D",
    "GroupedBatches",
    "ImuRecordings",
    "LabelledWindows",
    "Motion",
    "Recordings",
    "RevalExo",
    "SplitBySubject",
    "UniformBatches",
    "VisitBatches",
    "WindowDataset",
    "Windows",
]
