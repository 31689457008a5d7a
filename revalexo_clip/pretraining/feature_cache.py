"""Keeping the features of a frozen video encoder: what is missing is computed when a training starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from revalexo_clip.augment import Augmentation
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.console import counting
from revalexo_clip.core.errors import ConfigError, DataError, UserError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.text import counted
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.data.features import FeatureFile, FeatureFiles, write_features
from revalexo_clip.data.revalexo.pack.find import cache_folder, writable_folder
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders.frozen import FrozenFeatures
from revalexo_clip.models.sequence import TakesMotion
from revalexo_clip.pretraining.frozen_features import ClipFeatures, weights_of
from revalexo_clip.pretraining.module import ContrastiveModule
from revalexo_clip.training.distributed import largest, raise_on_all_ranks, rank, reduce_over_ranks, world_size
from revalexo_clip.training.loaders import PairsDataModule

log = logging.getLogger("revalexo_clip")

NAME = "rxclip-features"
"""Default name of the folder of features, in a dataset's folder or in its cache folder."""


def check_feature_cache(experiment: PretrainExperiment, model: DualEncoder, windows: LabelledWindows) -> None:
    """Raise `ConfigError` if features are to be kept and the video encoder or the dataset does not allow it."""
    cache, name = experiment.feature_cache, type(experiment.video).__name__
    if cache is None:
        return
    network = model.video
    if not isinstance(network, FrozenFeatures) or isinstance(network, TakesMotion):
        raise ConfigError(
            f"feature_cache: the features of {name} cannot be kept; use an encoder with a frozen model, a "
            "FrozenFeatures, or set feature_cache=none"
        )
    if network.per_frame and cache.grid is not None:
        raise ConfigError(
            f"feature_cache.grid: {name} sees frames one by one, and windows may start anywhere; remove it"
        )
    if not network.per_frame and cache.grid is None:
        raise ConfigError(
            f"feature_cache.grid: {name} sees windows as a whole, so that features are kept for certain starts only; "
            "name the time between two of them [s], such as feature_cache.grid=0.25"
        )
    if not isinstance(windows, ClipWindows):
        raise ConfigError(f"feature_cache: {type(windows).__name__} does not say which frames its clips have")


class FeatureCaching(Callback):
    """Before training, computes the features that are not kept yet; from then on, windows have features, no frames.

    Every process computes its share of the clips. The file of a clip is there if it is complete, so that a start that
    was interrupted continues with the next clip.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute and keep what is missing. The weights are there, also those of a run that is resumed."""
        assert isinstance(pl_module, ContrastiveModule)
        data = getattr(trainer, "datamodule", None)
        assert isinstance(data, PairsDataModule)
        with torch.random.fork_rng(devices=[]):  # training draws the same numbers whatever is computed here
            keep_features(pl_module.experiment, pl_module.model, (data.train, data.val), pl_module.device, self.console)
        assert isinstance(data.augmentation, Augmentation)
        without_video = pl_module.experiment.model_copy(update={"video_augment": ()})
        augmentation = without_video.build_augmentation(data.augmentation.imu_spec, data.train.video_spec)
        data.augmentation = pl_module.augmentation = augmentation


def keep_features(
    experiment: PretrainExperiment,
    model: DualEncoder,
    splits: Sequence[LabelledWindows],
    device: torch.device,
    console: Console,
) -> None:
    """Compute the features of all clips of some datasets that are not kept, and let the datasets read them."""
    cache, network = experiment.feature_cache, model.video
    assert cache is not None
    assert isinstance(network, FrozenFeatures)
    weights, files = weights_of(network), []
    tasks: dict[Path, _Task] = {}
    for dataset in splits:
        assert isinstance(dataset, ClipWindows)
        folder = cache.folder.expanduser() if cache.folder else _default_folder(dataset.index.root)
        names_KN = []
        for view in range(cache.views) if cache.views and dataset.segment_N is not None else (None,):
            of = ClipFeatures(experiment, model, dataset, view)
            name_N = _file_names(of, weights)
            names_KN.append(name_N)
            tasks |= {folder / name: _Task(of, clip) for clip, name in enumerate(name_N) if name}
        files.append((dataset, FeatureFiles(folder, names_KN, dataset.video_spec, per_frame=network.per_frame)))
    network.eval()
    with counting("computing features", console) as on_progress:
        computed = _compute(tasks, max(experiment.data.workers, 1), device, on_progress)
    unit = "frame" if network.per_frame else "window"
    size = sum(path.stat().st_size for path in tasks) / 2**20
    done = f"{counted(computed, unit)} computed" if computed else "all kept"
    for folder in dict.fromkeys(of_files.folder for _, of_files in files):
        log.info("features %s: %s; %s, %.1f MiB", folder, done, counted(len(tasks), "file"), size)
    for dataset, of_files in files:
        dataset.features = of_files


class _Task(NamedTuple):
    """The features of a clip."""

    of: ClipFeatures
    clip: int


def _default_folder(root: Path) -> Path:
    try:
        return writable_folder(root) / NAME
    except DataError:  # the dataset's own folder is missing: its pack is read
        return cache_folder(root) / NAME


def _file_names(of: ClipFeatures, weights: str) -> list[str]:
    """Return the file of each clip, relative to the folder; "" for clips without windows."""
    inside, clips = of.settings(weights), set(of.dataset.windows.clip_N.tolist())
    return [f"{inside}/{of.file_name(clip)}" if clip in clips else "" for clip in range(len(of.dataset.index))]


def _compute(tasks: Mapping[Path, _Task], threads: int, device: torch.device, on_progress: OnProgress) -> int:
    """Compute the features that are not kept; return of how many frames or windows, in all processes together.

    The clips are shared by the processes, and all of them fail if one of them fails. A second round computes what
    another process has written into a folder that this one does not see.
    """
    missing, computed = [path for path in tasks if not _usable(path)], 0
    raise_on_all_ranks(None, device)  # no process writes before all have looked
    for second in (False, True):
        paths = [path for path in missing if not _usable(path)] if second else missing[rank() :: world_size()]
        (rounds,) = largest([len(paths)], device)
        for number in range(rounds):
            error: UserError | None = None
            try:
                if number < len(paths):
                    of, clip = tasks[paths[number]]
                    kept = of.compute(clip, threads)
                    write_features(paths[number], kept)
                    computed += len(kept.time_n)
            except UserError as found:
                error = found
            raise_on_all_ranks(error, device)
            on_progress(number + 1, rounds)
    return int(reduce_over_ranks(torch.tensor([float(computed)], device=device)).item())


def _usable(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        FeatureFile(path)
    except DataError as error:
        log.warning("computed again: %s", error)
        return False
    return True
