"""Other forms of PyTorchVideo's modules, with the same outputs and the same names of weights: what is used where.

- Depthwise 3-D convolution. CPU: 2-D, along time, or as matrices (`convolution`). CUDA: torch's own kernel; cuDNN's
  with `trainer.channels_last` (`depthwise_forms` has the alternatives).
- Pointwise 3-D convolution. CPU: a matrix product (`convolution`). CUDA: cuDNN.
- Batch norm in training. CPU in float32: own sums (`batch_norm`), or fused with the expansion before it and the ReLU
  after it (`pointwise_norm_relu`). Elsewhere: torch's or cuDNN's.
- Squeeze and excitation. CPU in float32: an own gradient, which stores no product of maps (`x3d`). Elsewhere: torch's.
- Attention. Fused everywhere, without the attention matrix: on CUDA in bf16 and fp16 the flash form. CPU: only keys and
  values that the pooling reads are projected (`attention`).
- Pooling of tokens. CPU in float32, and CUDA with `trainer.channels_last`: in the layout of the tokens (`pooling`).
  Elsewhere: as maps of each head, which copies all tokens.
- Two-layer network. CPU: in parts, and the GELU is computed again in the backward pass (`mlp`). Elsewhere: plain.

Why: on a CPU, torch's depthwise convolution and its batch norm in training take most of a step, and memory that is
written once more costs more than the arithmetic. On CUDA, torch and cuDNN have fast kernels for these modules, and
`gradient_checkpointing` trades time for memory. Own gradients are not used if code is compiled, traced or exported, or
in mixed precision: inductor fuses torch's operations itself, autocast does not know ours, and a traced or exported
model must contain nothing else.

If there are several exact forms on CUDA, the library's is used until a measurement says otherwise: `python -m
benchmarks.gpu` measures them, and `depthwise_forms.ON_ACCELERATOR` names the one in use. Nothing has been measured on a
GPU yet.
"""
