"""Memory for batches that loader workers fill and the training process reads, used again and again.

Without it, a worker stacks windows in memory of its own, copies every tensor into a file of shared memory, and passes a
descriptor of it to the training process, which maps it and, for a GPU, copies it once more into pinned memory. Here, a
worker stacks windows where the training process reads them, and sends only the places of the tensors. The memory is
mapped, and pinned, once; it does not lie in /dev/shm, which is small in many containers.

The training process gives a free buffer to each batch when it asks a worker for it. The buffer is free again when no
tensor of the batch refers to it any more. If none is free, or a tensor does not fit, it travels without one. So no
batch is overwritten while it is read, however many of them are kept.
"""

from __future__ import annotations

import logging
import mmap
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from revalexo_clip.core.types import ImuSpec, Stack, VideoSpec

log = logging.getLogger("revalexo_clip")

_ALIGNMENT = 64
_OTHER_BYTES = 8192
"""Bytes of a window for labels, times, and the draws of augmentation other than whole IMU windows."""
_IMU_WINDOWS = 4
"""IMU windows in a training window: itself and a second view, and for each of them a draw for every sample."""

Key = TypeVar("Key")
Kind = TypeVar("Kind")
Bytes = npt.NDArray[np.uint8]


class _Place(NamedTuple):
    """Where a tensor lies in a buffer."""

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Filled(NamedTuple):
    """A batch on its way from a worker: its tensors are replaced by their places in a buffer."""

    buffer: int | None
    """Number of the buffer; None if the batch travels without one."""
    used: int
    """Bytes of the buffer that are used."""
    content: object


class BatchBuffers:
    """`count` buffers of `size` bytes, shared by a process and the workers that are forked from it."""

    def __init__(self, count: int, size: int) -> None:
        """Reserve the memory. It is taken when it is first written to. Raises `OSError` if the system refuses it."""
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = [mmap.mmap(-1, self.size) for _ in range(count)]
        self.free = deque(range(count))
        """Buffers that may be filled, the one that was freed first in front."""
        self._sent: set[int] = set()
        self._copies: dict[int, torch.cuda.Event] = {}
        self._pinned: dict[int, int] = {}
        self._pins = torch.cuda.is_available()

    def __del__(self) -> None:
        pinned = getattr(self, "_pinned", {})
        if pinned and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # False in workers
            torch.cuda.synchronize()
            for buffer in pinned:
                _unpin(self._bytes(buffer))

    def take(self) -> int | None:
        """Return a buffer for the next batch that a worker is asked for; None if none is free."""
        if not self.free:
            return None
        copied = self._copies.get(self.free[0])
        if copied is not None and not copied.query():  # type: ignore[no-untyped-call]
            return None
        self._sent.add(buffer := self.free.popleft())
        return buffer

    def take_back(self) -> None:
        """Free the buffers of batches that were asked for and will not arrive, because all workers are idle."""
        self.free.extend(sorted(self._sent))
        self._sent.clear()

    def fill(self, buffer: int | None, build: Callable[[Stack], object]) -> Filled:
        """Let `build` stack a batch into a buffer, by the function that it is given. Workers call it."""
        if buffer is None:
            return Filled(None, 0, build(torch.stack))
        writer = _Writer(torch.from_numpy(self._bytes(buffer)))
        content = _replaced(build(writer.stack), Tensor, writer.place_of)
        return Filled(buffer, writer.used, content)

    def opened(self, filled: Filled) -> object:
        """Return the batch that a worker has sent. Its tensors are valid for as long as they exist."""
        buffer = filled.buffer
        if buffer is None:
            return filled.content
        self._sent.remove(buffer)
        memory = self._bytes(buffer)
        weakref.finalize(memory, self._release, buffer).atexit = False
        if self._pins:
            self._pin(buffer, filled.used)
        whole = torch.from_numpy(memory)
        return _replaced(filled.content, _Place, lambda place: _tensor(whole, place))

    def _bytes(self, buffer: int) -> Bytes:
        """Return a new array of the bytes of a buffer."""
        return np.frombuffer(self.memory[buffer], np.uint8)

    def _release(self, buffer: int) -> None:
        """Free a buffer that no tensor refers to any more.

        Copies to the GPU may still be going on. They were started before now, on this stream or on one that it waits
        for.
        """
        copied = _event_after_copies()
        if copied is not None:
            self._copies[buffer] = copied
        self.free.append(buffer)

    def _pin(self, buffer: int, size: int) -> None:
        """Pin the first bytes of a buffer, so that they are copied to the GPU while the processor does other work."""
        pinned = self._pinned.get(buffer, 0)
        if size <= pinned:
            return
        memory = self._bytes(buffer)
        if pinned:
            _unpin(memory)
        self._pinned[buffer] = rounded = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if (wrong := _pinning_error(memory[:rounded])) is not None:
            log.warning("batches are copied to the GPU from memory that is not pinned: %s", wrong)
            self._pins = False
            del self._pinned[buffer]


def _event_after_copies() -> torch.cuda.Event | None:
    """Return an event after all copies to the GPU that this stream was asked for; None if no GPU is in use."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return event


def _pinning_error(memory: Bytes) -> str | None:
    """Pin memory, and return the error if that is not possible."""
    cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    result = cudart.cudaHostRegister(memory.ctypes.data, len(memory), 0)
    if result == cudart.cudaError.success:
        return None
    _discard_last_error()
    return f"cudaHostRegister gave {result}"


def _discard_last_error() -> None:
    """Let an operation of our own report the last error of CUDA.

    CUDA keeps it until it is asked for, which PyTorch does after each kernel: the next step would fail by it.
    """
    with suppress(RuntimeError):
        torch.zeros(1, device="cuda")


def _unpin(memory: Bytes) -> None:
    cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    cudart.cudaHostUnregister(memory.ctypes.data)


class _Writer:
    """Stacks tensors one after the other in a buffer."""

    def __init__(self, whole: Tensor) -> None:
        self.whole = whole
        self.used = 0

    def stack(self, tensors: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
        """Stack tensors as `torch.stack` does, in the buffer if they fit."""
        first = tensors[0]
        place = _Place(self.used, (len(tensors), *first.shape), first.dtype)
        end = self.used + len(tensors) * first.nbytes
        alike = all(tensor.shape == first.shape and tensor.dtype == first.dtype for tensor in tensors)
        if end > len(self.whole) or not first.nbytes or not alike:
            return torch.stack(tensors)
        self.used = -(-end // _ALIGNMENT) * _ALIGNMENT
        return torch.stack(tensors, out=_tensor(self.whole, place))

    def place_of(self, tensor: Tensor) -> Tensor | _Place:
        """Return the place of a tensor that `stack` gave, or the tensor if it is not in the buffer."""
        offset = tensor.data_ptr() - self.whole.data_ptr()
        if not tensor.nbytes or not 0 <= offset < len(self.whole):
            return tensor
        return _Place(offset, tuple(tensor.shape), tensor.dtype)


def _tensor(whole: Tensor, place: _Place) -> Tensor:
    """Return the tensor at a place of a buffer."""
    size = place.dtype.itemsize
    for length in place.shape:
        size *= length
    return whole[place.offset : place.offset + size].view(place.dtype).view(place.shape)


def _replaced(content: object, kind: type[Kind], change: Callable[[Kind], object]) -> object:
    """Return nested tuples and lists with all items of a kind replaced."""
    if isinstance(content, kind):
        return change(content)
    if isinstance(content, tuple | list):
        items = [_replaced(item, kind, change) for item in content]
        made: Callable[..., object] = type(content)
        return made(*items) if hasattr(content, "_fields") else made(items)
    return content


def window_bytes(imu: ImuSpec, video: VideoSpec | None) -> int:
    """Return how many bytes a window with its draws has at most; larger ones travel without buffers."""
    size = _OTHER_BYTES + _IMU_WINDOWS * imu.samples * len(imu.channels) * 4
    if video is not None:
        size += video.images * video.crop**2 * 3
    if video is not None and video.motion is not None:
        size += video.motion.moments * video.motion.rows * video.motion.columns * 3 * 4
    return size


class Task(list[Key]):
    """The keys of the windows of a batch, and the buffer for it."""

    def __init__(self, keys: Sequence[Key], buffer: int | None) -> None:
        super().__init__(keys)
        self.buffer = buffer


class Tasks(Generic[Key]):
    """The batches of a sampler, each with a free buffer."""

    def __init__(self, batches: Collection[Sequence[Key]], buffers: BatchBuffers) -> None:
        self.batches = batches
        self.buffers = buffers

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Task[Key]]:
        self.buffers.take_back()  # when the first batch is asked for, no worker has one of an epoch before
        for keys in self.batches:
            yield Task(keys, self.buffers.take())
