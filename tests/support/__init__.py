"""What tests share: small datasets, experiments, runs and plain references."""
