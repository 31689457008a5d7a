"""Multinomial logistic regression, fitted to several sets of labels of the same windows at once.

The optimum is that of scikit-learn's `LogisticRegression(C=1 / (PENALTY * M))`, but it is found faster. Features are
strongly correlated, so that L-BFGS needs many hundred steps. In coordinates in which the penalised loss has about the
same curvature in all directions it needs a few dozen, and one pass over the features serves all sets of labels. Passes
are in float32, whose rounding errors are far below the final gradient; sums over windows and steps are in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from revalexo_clip.metrics.evaluated import Floats, Ints

PENALTY = 0.01
"""Weight of half the squared coefficients, relative to the mean cross-entropy; see `docs/metrics.md` for the choice."""
_CURVATURE = 0.3
"""Order of magnitude of p (1 - p); affects only the speed."""
_GRADIENT = 3e-5
"""Largest component of the gradient at the end."""
_MAX_STEPS = 2000


@dataclass(frozen=True)
class Logistic:
    """Coefficients for K sets of labels with A classes each. Features are standardised as the training windows."""

    mean_F: Tensor
    scale_F: Tensor
    weight_FKA: Tensor
    bias_KA: Tensor
    """-inf for classes without training windows."""

    def logits(self, features_NF: Floats) -> Floats:
        """Compute logits, [N, K, A]."""
        weight_FJ = self.weight_FKA.flatten(start_dim=1) / self.scale_F[:, None]
        bias_J = self.bias_KA.flatten() - self.mean_F @ weight_FJ
        logits_NJ = torch.from_numpy(features_NF) @ weight_FJ + bias_J
        return np.asarray(logits_NJ.view(-1, *self.bias_KA.shape).numpy())


def fit_logistic(features_MF: Floats, label_MK: Ints, classes: int) -> Logistic:
    """Fit M windows with K labels each, 0 to `classes` - 1, or `UNLABELLED`: then the window is not used for that set.

    Classes that are missing from a set are never predicted for it.
    """
    sets = label_MK.shape[1]
    mean_F, scale_F = standardization(torch.from_numpy(features_MF))
    turned_ME, turn_FE = _turn(((torch.from_numpy(features_MF) - mean_F) / scale_F).float())
    true_KAM = torch.from_numpy(label_MK).T[:, None] == torch.arange(classes)[:, None]
    objective = _Objective(turned_ME, true_KAM, turn_FE)
    found = minimize(
        objective,
        objective.start(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_STEPS, "maxfun": 2 * _MAX_STEPS, "gtol": _GRADIENT, "ftol": 0.0},
    )
    weight_JE, bias_KA = objective.split(torch.from_numpy(found.x))
    weight_FKA = (turn_FE @ weight_JE.T).view(-1, sets, classes)
    return Logistic(mean_F, scale_F, weight_FKA, bias_KA + objective.absent_KA)


def _turn(x_MF: Tensor) -> tuple[Tensor, Tensor]:
    """Return features in E coordinates with about the same curvature of the loss in all directions, and the transform.

    Axes are orthogonal, so that the penalty is a sum over them. With far fewer windows than features, coefficients are
    linear combinations of the windows, so there are as many coordinates as windows.
    """
    basis_FE = torch.eye(x_MF.shape[1])
    if 2 * len(x_MF) < x_MF.shape[1]:
        basis_FE, root_EM = torch.linalg.qr(x_MF.T)
        x_MF = root_EM.T
    strength_E, axis_EE = torch.linalg.eigh((x_MF.T @ x_MF).double() / len(x_MF))
    turn_EE = axis_EE * (_CURVATURE * strength_E.clamp(min=0) + PENALTY).rsqrt()
    return x_MF @ turn_EE.float(), basis_FE.double() @ turn_EE


def standardization(features_MF: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each feature, [F] each; the deviation of a constant feature is 1."""
    mean_F, scale_F = features_MF.mean(dim=0), features_MF.std(dim=0, correction=0)
    return mean_F, torch.where(scale_F > 1e-7 * mean_F.abs(), scale_F, 1.0)


class _Objective:
    """Penalised cross-entropy and its gradient, in turned coordinates. E axes, J = K x A rows of coefficients."""

    def __init__(self, turned_ME: Tensor, true_KAM: Tensor, turn_FE: Tensor) -> None:
        self.turned_ME = turned_ME
        labelled_KM = true_KAM.any(dim=1)
        self.share_K1M = (labelled_KM / labelled_KM.sum(dim=1, keepdim=True).clamp(min=1)).float()[:, None]
        self.wanted_KAM = true_KAM * self.share_K1M
        self.frequency_KA = self.wanted_KAM.sum(dim=2, dtype=torch.float64)
        self.absent_KA = torch.where(self.frequency_KA > 0, 0.0, -torch.inf)
        self.absent_KA[~labelled_KM.any(dim=1)] = 0.0  # a set without any label has no classes to exclude
        self.barred_KA = self.absent_KA.clamp(min=-1e9)  # finite, so that its product with 0 is 0
        self.penalty_E = PENALTY * turn_FE.square().sum(dim=0)

    def start(self) -> Floats:
        """Return coefficients of 0, and biases from the frequencies of the classes."""
        bias_KA = torch.where(self.frequency_KA > 0, self.frequency_KA, 1.0).log()
        none_JE = torch.zeros(bias_KA.numel(), len(self.penalty_E), dtype=torch.float64)
        return np.asarray(torch.cat([none_JE.flatten(), bias_KA.flatten()]).numpy())

    def split(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Split into coefficients [J, E] and biases [K, A]."""
        rows, axes = self.absent_KA.numel(), len(self.penalty_E)
        return flat[: rows * axes].view(rows, axes), flat[rows * axes :].view(self.absent_KA.shape)

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        weight_JE, bias_KA = self.split(torch.from_numpy(flat))
        logits_KAM = (weight_JE.float() @ self.turned_ME.T).view(self.wanted_KAM.shape)
        log_KAM = (logits_KAM + (bias_KA + self.barred_KA).float()[:, :, None]).log_softmax(dim=1)
        penalty_JE = weight_JE * self.penalty_E
        cross_entropy = -(log_KAM * self.wanted_KAM).sum(dtype=torch.float64)
        loss = (weight_JE * penalty_JE).sum() / 2 + cross_entropy
        error_KAM = log_KAM.exp_().mul_(self.share_K1M).sub_(self.wanted_KAM)
        gradient_JE = (error_KAM.flatten(end_dim=1) @ self.turned_ME).double() + penalty_JE
        bias_gradient_KA = error_KAM.sum(dim=2, dtype=torch.float64)
        return loss.item(), torch.cat([gradient_JE.flatten(), bias_gradient_KA.flatten()]).numpy()
