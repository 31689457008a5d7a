"""`report.html` of an activity classifier's test."""
