"""How layers that are trained from scratch begin.

PyTorch's defaults let a signal shrink from layer to layer until biases outweigh it: windows then begin with almost the
same embedding, and a contrastive loss takes long to tell them apart.
"""

from __future__ import annotations

import torch
from torch import nn


def initialize(module: nn.Module) -> None:
    """For `nn.Module.apply`: keep the variance through ReLU layers (He et al., 2015, arXiv:1502.01852).

    Recurrent weights begin orthogonal (Saxe et al., 2014, arXiv:1312.6120), biases at zero.
    """
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LSTM):
        for name, parameter in module.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)


def remember(lstm: nn.LSTM, steps: int) -> None:
    """Let the units of an LSTM of one layer begin with memories of all lengths up to `steps`.

    Chrono initialization (Tallec & Ollivier, 2018, arXiv:1804.11188). A forget gate that begins at a bias of 1 forgets
    within four steps; what came before then hardly reaches the last step, and is learned late or never.
    """
    assert lstm.num_layers == 1
    hidden = lstm.hidden_size
    with torch.no_grad():
        lasting = torch.empty(hidden).uniform_(1.0, max(steps - 1.0, 1.0)).log()
        bias = lstm.get_parameter("bias_ih_l0")
        bias[:hidden] = -lasting  # of the input gate
        bias[hidden : 2 * hidden] = lasting  # of the forget gate
