"""`report.html`: an evaluation as one page that opens offline, in light, in dark and on paper."""
