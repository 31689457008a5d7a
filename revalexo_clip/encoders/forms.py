"""Where the encoders compute in forms of their own, and where in the library's."""

from __future__ import annotations

import torch
from torch import Tensor


def suits_cpu_forms(x: Tensor) -> bool:
    """Whether `x` is computed with here and now on a CPU.

    Accelerators have kernels for the library's own forms, and what is traced for export may run anywhere, with batches
    of any size.
    """
    return x.device.type == "cpu" and not torch.compiler.is_exporting()
