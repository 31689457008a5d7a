"""Training on Lightning: the contrastive step, the loaders, what is kept and what is shown."""
