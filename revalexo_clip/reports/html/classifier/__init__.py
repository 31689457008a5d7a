"""`report.html` of a recogniser's test."""
