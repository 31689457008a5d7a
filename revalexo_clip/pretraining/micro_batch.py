"""A contrastive step in bounded memory, with the gradient of the undivided batch.

Method: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021
(arXiv:2101.06983). Embed each part without a graph. Compute the gradient of the loss with respect to the
embeddings. Embed each part again, with a graph, and backpropagate its share of that gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from revalexo_clip.losses import Vector
from revalexo_clip.models.encoders.checkpointing import running_statistics_untouched
from revalexo_clip.models.layers import without_autocast

Embed = Callable[[slice], Mapping[Vector, Tensor]]
"""Computes the vectors of the rows of a slice of this process's batch, [b, D] of each kind."""
Contrast = Callable[[Mapping[Vector, Tensor]], Tensor]
"""Computes the loss of this process's vectors, contrasted with those of all processes."""
Backward = Callable[[Tensor, bool], None]
"""Runs the backward pass of a scalar; the flag marks the last pass of a step, in which gradients are synchronised."""


def contrast_in_parts(
    module: nn.Module,
    *,
    rows: int,
    part: int,
    embed: Embed,
    contrast: Contrast,
    loss_parameters: Sequence[nn.Parameter],
    backward: Backward,
) -> Tensor:
    """Fill the gradients of one contrastive step over `rows` windows, `part` at a time; return the loss [], detached.

    Random numbers are replayed, so that dropout is the same in both passes. The one difference to the undivided batch
    is batch norm: its batch statistics are those of a part. Running statistics are updated once, in the second pass.
    `contrast` and all backward passes run outside autocast, which would round the gradients of float32 operations too.
    """
    slices = [slice(start, min(start + part, rows)) for start in range(0, rows, part)]
    if len(slices) == 1:
        vectors = embed(slices[0])
        with without_autocast(_device(vectors)):
            loss = contrast(vectors)
            backward(loss, True)
        return loss.detach()

    states, embedded = [], []
    with torch.no_grad(), running_statistics_untouched(module):
        for rows_of_part in slices:
            states.append(_RandomState())
            embedded.append(embed(rows_of_part))
    # Autocast caches the weights that it cast without a graph; the second pass must not use them.
    torch.clear_autocast_cache()
    vectors = {kind: torch.cat([part[kind] for part in embedded]).requires_grad_() for kind in embedded[0]}
    trainable = [parameter for parameter in loss_parameters if parameter.requires_grad]
    with without_autocast(_device(vectors)):
        loss = contrast(vectors)
        found = torch.autograd.grad(loss, [*vectors.values(), *trainable])
    grads, parameter_grads = dict(zip(vectors, found, strict=False)), found[len(vectors) :]

    for rows_of_part, state in zip(slices, states, strict=True):
        state.restore()
        part_vectors = embed(rows_of_part)
        with without_autocast(_device(part_vectors)):
            products = [(x_bD * grads[kind][rows_of_part]).sum() for kind, x_bD in part_vectors.items()]
            surrogate = torch.stack(products).sum()
            last = rows_of_part is slices[-1]
            if last:  # include the loss's parameters, so that one synchronised pass has all parameters
                surrogate = surrogate + sum(
                    ((parameter * grad).sum() for parameter, grad in zip(trainable, parameter_grads, strict=True)),
                    start=surrogate.new_zeros(()),
                )
            backward(surrogate, last)
    return loss.detach()


def _device(vectors: Mapping[Vector, Tensor]) -> torch.device:
    return next(iter(vectors.values())).device


class _RandomState:
    """The current state of the random generators that dropout draws from."""

    def __init__(self) -> None:
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)
