"""Everything that is to be known of a GPU, by one command: `python -m benchmarks.gpu`, or `make bench-gpu`.

With `--device cpu --quick` it runs anywhere, on tiny sizes. That shows that the script works and says nothing of speed.
"""
