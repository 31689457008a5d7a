"""Packs: videos and IMU files of a dataset in shards, from which a window is read with a few small reads.

- `folder`: what a pack consists of, and opening it
- `shard`, `entries`, `file`, `hdf5`: file format of shards; entries are found by the digest of the file they are of
- `checksums`, `payload`: verifying what is read
- `stamps`, `current`: digests of a dataset's files as they are now, and their entries
- `part`, `jpeg`: packing one file
- `write`, `queue`, `workers`, `writers`, `space`, `build`: packing all clips of a dataset
- `prune`: removing what no dataset uses
- `find`, `describe`, `choose`: locating a pack, and choosing whether to use it
- `source`: reading windows from a pack
"""
