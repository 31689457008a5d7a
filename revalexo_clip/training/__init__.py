"""What both kinds of training share: the base module, the trainer, loaders, callbacks, failures."""
