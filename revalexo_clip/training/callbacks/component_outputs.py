"""Check what an experiment's encoders and losses return, at the first step of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.errors import UserError
from revalexo_clip.losses import LossModule, Overlap
from revalexo_clip.losses.classification import ClassificationLossModule
from revalexo_clip.models.encoders.base import Encoder
from revalexo_clip.training.base_module import TrainingModule


class ComponentOutputs(Callback):
    """Raises `UserError`, which names the component, if an output has a wrong type, shape or data type or is NaN.

    Without it, the error would come from the part that uses the output. Only the first step is checked.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._handles: list[RemovableHandle] = []
        self._watched: list[LossModule] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watch the modules of all components."""
        assert isinstance(pl_module, TrainingModule)
        for modality in ("imu", "video"):
            component, module = getattr(self.experiment, modality, None), getattr(pl_module.model, modality, None)
            if not isinstance(component, Encoder) or not isinstance(module, nn.Module):
                continue  # no such modality, or an encoder that a pretraining has checked
            features = component.feature_dim(getattr(self.experiment, "embed_dim", 0))
            check = partial(check_features, f"{modality}: {type(component).__name__}", features=features)
            self._handles.append(module.register_forward_hook(_of_output(check)))
            head = getattr(pl_module.model, f"{modality}_head", None)
            if isinstance(head, nn.Module):  # an encoder with a sequence is not called, but asked to `encode`
                self._handles.append(head.register_forward_pre_hook(_of_input(check)))
        loss, name = pl_module.loss, type(getattr(self.experiment, "loss", pl_module.loss)).__name__
        if isinstance(loss, ClassificationLossModule):
            check = partial(check_loss, f"loss: {name}", per_window=True)
            self._handles.append(loss.register_forward_hook(_of_output(check)))
        elif isinstance(loss, LossModule):
            for term, (_, module) in loss.terms().items():
                self._watch_share(f"loss.terms.{term}: {type(module).__name__}" if term else f"loss: {name}", module)

    def _watch_share(self, name: str, module: LossModule) -> None:
        """Check what training calls: a loss may override `share`, and `forward` would not be called then."""
        share = module.share

        def checked(imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
            returned = share(imu_ND, video_ND, overlap, rows)
            check_loss(name, (imu_ND, video_ND), returned)
            return returned

        vars(module)["share"] = checked
        self._watched.append(module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Stop watching."""
        while self._handles:
            self._handles.pop().remove()
        while self._watched:
            del vars(self._watched.pop())["share"]


Check = Callable[[tuple[object, ...], object], None]
"""Checks an output, given the arguments that it was computed from."""


def _of_output(check: Check) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    return lambda _, given, returned: check(given, returned)


def _of_input(check: Check) -> Callable[[nn.Module, tuple[object, ...]], None]:
    return lambda _, given: check(given, given[0])


def _tensors(values: object) -> Iterator[Tensor]:
    """Yield the tensors among arguments, and those in tuples among them."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple):
        for value in values:
            yield from _tensors(value)


def check_features(name: str, given: tuple[object, ...], returned: object, *, features: int) -> None:
    """Raise `UserError` if an encoder does not return floats [B, features], or if no window has finite ones."""
    rows = len(next(_tensors(given)))
    returned_BF = _checked(name, f"floats [B, F] = [{rows}, {features}]", returned, (rows, features))
    if not returned_BF.isfinite().all(dim=1).any():  # if some windows have, their recordings are the likely cause
        raise UserError(f"{name} returned features that are not finite, for every window of the first step")


def check_loss(name: str, given: tuple[object, ...], returned: object, *, per_window: bool = False) -> None:
    """Raise `UserError` if a loss does not return a finite float [], or one for each of B windows, to train on."""
    rows = len(next(_tensors(given)))
    expected = f"one float for each window, [B] = [{rows}]" if per_window else "a scalar, a float []"
    loss = _checked(name, expected, returned, (rows,) if per_window else ())
    inputs = [tensor for tensor in _tensors(given) if tensor.is_floating_point()]
    if torch.is_grad_enabled() and not loss.requires_grad and any(tensor.requires_grad for tensor in inputs):
        raise UserError(f"{name} returned a loss without a gradient; compute it from its arguments, without detach()")
    if not loss.isfinite().all() and all(tensor.isfinite().all() for tensor in inputs):
        raise UserError(f"{name} returned a loss that is not finite, in the first step, for finite vectors")


def _checked(name: str, expected: str, returned: object, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(returned, Tensor):
        raise UserError(f"{name} must return {expected}, not {type(returned).__name__}")
    allowed = returned.is_floating_point() and returned.dtype != torch.float64
    if tuple(returned.shape) != shape or not allowed:
        precise = " in float32, or in what autocast chooses" if returned.dtype == torch.float64 else ""
        raise UserError(f"{name} must return {expected}{precise}, not {returned.dtype} {list(returned.shape)}")
    return returned
