"""Random numbers that layers draw, such as dropout's, as a function of where a run stands."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed what modules draw from, on all devices, for one step of one process.

    So there is no random state to save: a step draws the same whatever was drawn before it.
    """
    own = int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0])
    torch.manual_seed(own)
    random.seed(own)
    np.random.seed(own)  # noqa: NPY002 (for components that draw from the global generator)
