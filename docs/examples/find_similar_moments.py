"""Search recordings by example: find the moments of other people that are most like this one.

    python docs/examples/find_similar_moments.py Subject10/0003 4.0
    python docs/examples/find_similar_moments.py Subject10/0003 4.0 --in 11,12 --top 10

The moment is the window whose middle is nearest to a time in a clip [s]. It is compared with all windows of the other
subjects by the cosine similarity of embeddings (-1 to 1). Of windows that share time only the best one is listed, also
if the shared seconds are in two clips. Labels are printed if there are some; they are not used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from revalexo_clip import Recordings, RevalExo, embed_dataset


def recordings(root: Path) -> Recordings:
    """Return the recordings to search. CHANGE this for data in another form."""
    return RevalExo(root=root, train_subjects=(), val_subjects=())


def main() -> None:
    """List the moments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", default="Subject10/0003", help="subject/recording of the moment")
    parser.add_argument("time", nargs="?", type=float, default=4.0, help="the moment, in seconds of the clip")
    parser.add_argument("--in", dest="subjects", default="11,12", help="subjects to search")
    parser.add_argument("--encoder", default="runs/latest/export/imu", help="exported folder, or user/name on the Hub")
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of the recordings")
    parser.add_argument("--top", type=int, default=5, help="number of moments")
    arguments = parser.parse_args()

    data, asked = recordings(arguments.data), arguments.clip.partition("/")[0]
    own = embed_dataset(data, arguments.encoder, [asked], vectors="embeddings")
    query = own.row_at(arguments.clip, arguments.time)
    found = embed_dataset(data, arguments.encoder, arguments.subjects.split(","), vectors="embeddings")

    # Embeddings are unit vectors [N, D]: their products are cosines.
    similarity_N = found.vector_ND @ own.vector_ND[query]
    similarity_N[found.subject_N == own.subject_N[query]] = -np.inf  # other people only
    start = own.start_N[query]
    print(f"like {own.clip_N[query]}, {start:.1f} to {start + own.window:.1f} s ({own.label_N[query] or 'no label'}):")
    for row in found.best(similarity_N, arguments.top):
        start = found.start_N[row]
        print(
            f"  {found.clip_N[row]:16} {start:6.1f} to {start + found.window:5.1f} s  "
            f"similarity {similarity_N[row]:.3f}  {found.label_N[row]}"
        )


if __name__ == "__main__":
    main()
