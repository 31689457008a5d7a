"""What the figures of a report amount to, in words."""
