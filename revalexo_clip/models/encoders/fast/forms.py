"""Where the encoders compute in forms of their own, and where in the library's."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def suits_cpu_forms(x: Tensor) -> bool:
    """Whether `x` is computed with here and now on a CPU.

    Accelerators have kernels for the library's own forms, and what is traced for export may run anywhere, with batches
    of any size.
    """
    return x.device.type == "cpu" and not torch.compiler.is_exporting()


def suits_own_gradients(x: Tensor) -> bool:
    """Whether, beyond that, a backward pass of our own may take the place of autograd's.

    What is compiled is left to the compiler, which writes loops of its own; what is traced, and mixed precision, to the
    library.
    """
    eager = not (torch.compiler.is_compiling() or torch._C._get_tracing_state())
    return suits_cpu_forms(x) and eager and not torch.is_autocast_enabled("cpu")


def are_plain(*maps: nn.Module) -> bool:
    """Whether linear maps are no more than their weights and biases: not adapted, not quantised, not hooked into."""
    return all(type(each) is nn.Linear and not (each._forward_hooks or each._forward_pre_hooks) for each in maps)
