"""Packs: a dataset in one HDF5 file, from which a window is read with a few small reads.

- `file`, `tables`, `hdf5`: file format, and opening a pack
- `checksums`, `payload`: verifying what is read
- `part`, `jpeg`: packing one clip
- `write`, `workers`, `assemble`, `build`: packing all clips and combining the parts
- `find`, `choose`: locating a pack, checking that it is up to date, and choosing whether to use it
- `source`: reading windows from a pack
"""
