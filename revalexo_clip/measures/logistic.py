"""Multinomial logistic regression, fitted to several sets of labels of the same windows at once.

The optimum is that of scikit-learn's `LogisticRegression(C=1 / (PENALTY * M))`; the way there is shorter. Features are
far from independent, which costs L-BFGS many hundred steps; turned to their principal axes and scaled by the curvature
along each they take a few dozen, and one pass over the features serves all sets of labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize

from revalexo_clip.measures.windows import Floats, Ints

PENALTY = 0.01
"""Of half the squared coefficients, beside the mean cross-entropy of a window; `docs/metrics.md` says why this much."""
_CURVATURE = 0.3
"""The order of p (1 - p); a matter of speed alone."""
_GRADIENT = 3e-5
"""The optimum is reached where no part of the gradient is larger."""
_MAX_STEPS = 2000


@dataclass(frozen=True)
class Logistic:
    """Coefficients for K sets of labels with A classes each. Features are standardised by those it was fitted to."""

    mean_F: Floats
    scale_F: Floats
    weight_FKA: Floats
    bias_KA: Floats
    """-inf for classes that it has never met."""

    def logits(self, features_NF: Floats) -> Floats:
        """[N, K, A]."""
        x_NF = (features_NF - self.mean_F) / self.scale_F
        return np.asarray(np.tensordot(x_NF, self.weight_FKA, axes=1) + self.bias_KA)


def fit_logistic(features_MF: Floats, label_MK: Ints, classes: int) -> Logistic:
    """Fit M windows with K labels each, 0 to `classes` - 1 or `UNLABELLED`: such a window has no part in that set.

    Classes that a set lacks are never predicted.
    """
    count, sets = label_MK.shape
    mean_F, scale_F = standardization(features_MF)
    x_MF = (features_MF - mean_F) / scale_F
    variance_E, axes_FE = np.linalg.eigh(x_MF.T @ x_MF / count)
    length_E = 1 / np.sqrt(_CURVATURE * variance_E.clip(0) + PENALTY)
    true_MKA = label_MK[:, :, None] == np.arange(classes)
    absent_KA = np.where(true_MKA.any(axis=0), 0.0, -np.inf)
    absent_KA[~true_MKA.any(axis=(0, 2))] = 0.0  # a set without any label: nothing to choose from
    objective = _Objective(x_MF @ (axes_FE * length_E), true_MKA, absent_KA, length_E)
    found = minimize(
        objective,
        np.zeros((len(length_E) + 1) * sets * classes),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_STEPS, "maxfun": 2 * _MAX_STEPS, "gtol": _GRADIENT, "ftol": 0.0},
    )
    weight_EJ, bias_KA = objective.split(torch.from_numpy(found.x))
    weight_FJ = (axes_FE * length_E) @ weight_EJ.numpy()
    return Logistic(mean_F, scale_F, weight_FJ.reshape(-1, sets, classes), bias_KA.numpy() + absent_KA)


def standardization(features_MF: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each feature, [F] each; 1 in place of the deviation of what never changes."""
    mean_F, scale_F = features_MF.mean(axis=0), features_MF.std(axis=0)
    return mean_F, np.where(scale_F > 1e-7 * np.abs(mean_F), scale_F, 1.0)


class _Objective:
    """Penalised cross-entropy and its gradient, in turned coordinates. E axes, J = K x A columns of coefficients."""

    def __init__(self, turned_ME: Floats, true_MKA: npt.NDArray[np.bool_], absent_KA: Floats, length_E: Floats) -> None:
        self.turned_ME = torch.from_numpy(turned_ME)
        self.true_MKA = torch.from_numpy(true_MKA)
        self.one_MKA = self.true_MKA.double()
        labelled_MK1 = self.one_MKA.sum(dim=2, keepdim=True)
        self.weight_MK1 = labelled_MK1 / labelled_MK1.sum(dim=0).clamp(min=1)
        self.absent_KA = torch.from_numpy(absent_KA)
        self.penalty_E1 = PENALTY * torch.from_numpy(length_E**2)[:, None]

    def split(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coefficients [E, J] and biases [K, A]."""
        axes, columns = len(self.penalty_E1), self.absent_KA.numel()
        return flat[: axes * columns].view(axes, columns), flat[axes * columns :].view(self.absent_KA.shape)

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        weight_EJ, bias_KA = self.split(torch.from_numpy(flat))
        logits_MKA = (self.turned_ME @ weight_EJ).view(self.true_MKA.shape) + (bias_KA + self.absent_KA)
        log_MKA = logits_MKA.log_softmax(dim=2)
        penalty_EJ = weight_EJ * self.penalty_E1
        loss = (weight_EJ * penalty_EJ).sum() / 2 - (log_MKA * self.weight_MK1)[self.true_MKA].sum()
        error_MKA = log_MKA.exp_().sub_(self.one_MKA).mul_(self.weight_MK1)
        gradient_EJ = self.turned_ME.T @ error_MKA.flatten(start_dim=1) + penalty_EJ
        return loss.item(), torch.cat([gradient_EJ.flatten(), error_MKA.sum(dim=0).flatten()]).numpy()
