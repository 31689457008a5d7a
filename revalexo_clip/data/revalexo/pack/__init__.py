"""The packed form of a dataset: one HDF5 file from which any window is a few small reads.

`part` packs a clip, `write` all of them, `assemble` puts the parts together, `file` says how a pack is laid out, `find`
where it lies and whether it is up to date, `source` reads windows from it.
"""
