from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from support.small_training import small

from revalexo_clip.core.errors import UserError
from revalexo_clip.training.failures import enough_memory

EXPERIMENT = small(Path("dataset"), "micro_batch=4", "trainer.precision=32")


def test_memory_that_the_machine_lacks_is_an_error_that_says_what_to_change() -> None:
    limit = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**40, limit[1]))
        with pytest.raises(UserError) as raised, enough_memory(EXPERIMENT, frames=16):
            torch.empty(2**41, dtype=torch.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    first, *choices = str(raised.value).splitlines()
    assert first.startswith("out of memory (")
    assert [choice.split()[1] for choice in choices] == ["micro_batch=...", "trainer.precision=...", "data.frames=..."]
    assert [choice.rpartition("(now ")[2] for choice in choices] == ["4)", "32)", "16)"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MemoryError()])
def test_a_device_and_python_say_it_in_other_words(error: Exception) -> None:
    with pytest.raises(UserError, match="out of memory"), enough_memory(EXPERIMENT, frames=16):
        raise error


def test_without_a_micro_batch_it_says_how_many_windows_are_encoded_at_once() -> None:
    whole = small(Path("dataset"))
    with pytest.raises(UserError, match="now none: 8 windows at once"), enough_memory(whole, frames=4):
        raise MemoryError


def test_a_loader_process_that_is_gone_is_most_likely_out_of_memory() -> None:
    gone = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    with pytest.raises(UserError, match=r"lower data\.workers \(now 0\)"), enough_memory(EXPERIMENT, frames=4):
        raise gone


def test_a_defect_keeps_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), enough_memory(EXPERIMENT, frames=4):
        raise RuntimeError("shapes differ")
