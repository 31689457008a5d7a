"""`report.html` of a comparison of checkpoints."""
