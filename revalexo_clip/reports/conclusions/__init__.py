"""What the results of a report say, in words."""
