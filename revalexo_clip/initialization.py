"""How layers that are trained from scratch begin.

PyTorch's defaults let a signal shrink from layer to layer until biases outweigh it: windows then begin with almost the
same embedding, and a contrastive loss takes long to tell them apart.
"""

from __future__ import annotations

from torch import nn


def initialize(module: nn.Module) -> None:
    """For `nn.Module.apply`: keep the variance through ReLU layers (He et al., 2015, arXiv:1502.01852).

    Recurrent weights begin orthogonal (Saxe et al., 2014, arXiv:1312.6120), with the forget gate open (Jozefowicz et
    al., 2015), biases at zero.
    """
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
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
                if name.startswith("bias_ih"):
                    nn.init.ones_(parameter.data[module.hidden_size : 2 * module.hidden_size])
