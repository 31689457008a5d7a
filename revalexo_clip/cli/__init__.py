"""The command line: parse arguments, call a function of the package, print the result."""
