"""Motion files: the measured image motion of all videos of a dataset, in one HDF5 file for each measurement.

They lie beside the pack, not in it: a pack is the same for all experiments, while several measurements of one dataset
can exist, and motion is also measured if there is no pack.

- `file`: file format, and opening a motion file
- `measure`: measuring one video
- `build`: locating a motion file, and measuring all videos of a dataset in several processes
- `source`: reading the motion of windows
"""
