"""A run that counts what each training step asks of its device and of other processes.

    python -m support.counted_steps pretrain EXPERIMENT.json FOLDER [FILE.py]

trains in the working directory, with the components of `FILE.py`, and writes `FOLDER/RANK.json`: for each step, from
one batch to the next, the names of our own collective operations, and where the host waited for the device. The CPU is
treated as a GPU is: outcomes of a step are read one step later. What the package does on a CPU only, where reading
costs nothing, is not counted: see `test_on_a_device_that_cannot_be_read_a_step_is_taken`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.training.base_module import TrainingModule
from revalexo_clip.training.distributed import rank
from revalexo_clip.training.outcomes import HostCopy

ON_CPU_ONLY = ("/augment/", "/encoders/fast/", "torch/optim/", "/data/", "torch/utils/data/")
"""Code that reads tensors of the host: branches for the CPU, the optimizer's count of steps, loading."""
READS = ("tolist", "numpy", "item", "cpu", "__bool__", "__float__", "__int__", "__index__", "new_tensor", "nonzero")
"""Methods of tensors for which the host waits for the device; `new_tensor` copies from pageable memory."""
READING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "unique_dim")
"""Operations for which it waits, also if they are called by others."""
COLLECTIVES = (
    *("all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce", "barrier", "broadcast"),
    *("broadcast_object_list", "gather", "gather_object", "reduce", "reduce_scatter", "scatter", "send", "recv"),
    *("all_to_all", "all_to_all_single", "monitored_barrier", "_broadcast_coalesced"),
)


class Steps:
    """What happened in each step."""

    def __init__(self) -> None:
        self.collectives: list[list[str]] = []
        self.waits: list[list[str]] = []
        self.paused = False

    def begin(self) -> None:
        self.collectives.append([])
        self.waits.append([])

    def note_wait(self, what: str) -> None:
        frame: FrameType | None = sys._getframe(2)
        place = ""
        while frame is not None:
            file = frame.f_code.co_filename
            if any(part in file for part in ON_CPU_ONLY):
                return
            if not place and "revalexo_clip" in file:
                place = f"{file}:{frame.f_lineno}"
            frame = frame.f_back
        if self.waits and not self.paused:
            self.waits[-1].append(f"{what} at {place}")

    def counted(self, name: str, collective: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if self.collectives:
                self.collectives[-1].append(name)
            return collective(*args, **kwargs)

        return call


steps = Steps()


class Methods(TorchFunctionMode):
    """Notes methods for which the host waits."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in READS or (name in {"tensor", "as_tensor"} and given.get("device") is not None):
            steps.note_wait(name)
        if (
            name == "to"
            and any(one == "cpu" for one in args[1:] if isinstance(one, str))
            and not given.get("non_blocking")
        ):
            steps.note_wait("to cpu")
        return func(*args, **given)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations for which the host waits, such as indexing by a mask."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        name = func.overloadpacket.__name__
        masks = name in {"index", "index_put_", "_index_put_impl_"} and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if name in READING or masks or (name == "repeat_interleave" and "output_size" not in (kwargs or {})):
            steps.note_wait(name)
        return func(*args, **(kwargs or {}))


def treat_as_gpu() -> None:
    def later(self: TrainingModule) -> None:
        self.lag = 1

    begun, read = TrainingModule.on_before_batch_transfer, HostCopy.read

    def fetched(self: TrainingModule, batch: Any, dataloader_idx: int) -> object:
        if self.trainer.training:
            steps.begin()
        return begun(self, batch, dataloader_idx)

    def unwatched(self: HostCopy) -> list[float]:
        steps.paused = True
        try:
            return read(self)
        finally:
            steps.paused = False

    patches: list[tuple[type, str, Callable[..., object]]] = [
        (TrainingModule, "on_train_start", later),
        (TrainingModule, "on_before_batch_transfer", fetched),
        (HostCopy, "read", unwatched),
    ]
    for owner, name, function in patches:
        setattr(owner, name, function)
    for name in COLLECTIVES:
        if hasattr(dist, name):
            setattr(dist, name, steps.counted(name, getattr(dist, name)))


def main(kind: str, experiment: Path, folder: Path, *files: Path) -> None:
    treat_as_gpu()
    for file in files:
        import_experiment_file(file)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with Methods(), Operations():  # type: ignore[no-untyped-call]
        if kind == "pretrain":
            pretrain(PretrainExperiment.from_json(experiment.read_bytes()))
        else:
            finetune(FinetuneExperiment.from_json(experiment.read_bytes()))
    found = {"collectives": steps.collectives, "waits": steps.waits}
    place = os.environ.get("LOCAL_RANK", str(rank()))
    (folder / f"{place}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
