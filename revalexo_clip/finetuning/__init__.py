"""Training of activity classifiers: single runs, folds and variants."""
