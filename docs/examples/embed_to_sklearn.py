"""A pretrained encoder as the first step of a scikit-learn pipeline, tested on subjects that nothing was fitted to.

    python docs/examples/embed_to_sklearn.py
    python docs/examples/embed_to_sklearn.py --encoder anna/imu-encoder --data data/mine --subjects Carla,David,Eva

Features of the windows are X [N, D], activities are y [N], subjects are groups [N]. Each subject is predicted by a
classifier that is fitted to the others. The same is done with handcrafted features, and by always predicting the most
frequent activity.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from revalexo_clip import Recordings, RevalExo, embed_dataset, load_encoder


def recordings(root: Path) -> Recordings:
    """Return the recordings to read. CHANGE this for data in another form."""
    # Columns acc_Pelvis_x ... [m/s^2] and gyro_Pelvis_x ... [rad/s] of CSV files at 60 Hz, cut into windows of 2 s,
    # one every 0.5 s. For CSV files with tables of labels: ImuRecordings, as in finetune_own_minutes.py.
    return RevalExo(root=root, train_subjects=(), val_subjects=())


def main() -> None:
    """Print the macro F1 of the pipeline and of two baselines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="runs/latest/export/imu", help="exported folder, or user/name on the Hub")
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of the recordings")
    parser.add_argument("--subjects", default="10,11,12", help="subjects that the encoder was not trained on")
    arguments = parser.parse_args()

    encoder = load_encoder(arguments.encoder)
    data, subjects = recordings(arguments.data), arguments.subjects.split(",")
    found = embed_dataset(data, encoder, subjects)
    handcrafted = embed_dataset(data, encoder, subjects, vectors="handcrafted")

    # What the encoder was trained or chosen on says nothing of new people.
    seen = {name for names in (encoder.subjects or {}).values() for name in names}
    usable_N = (found.label_N != "") & ~np.isin(found.subject_N, sorted(seen))
    y_N, group_N = found.label_N[usable_N], found.subject_N[usable_N]
    if len(left_out := seen & set(found.subject_N.tolist())):
        print(f"left out, because the encoder was trained on them: {', '.join(sorted(left_out))}")
    print(f"{len(y_N)} windows of {found.window:g} s, {found.vector_ND.shape[1]} features, {len(set(y_N))} activities")

    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.01, class_weight="balanced"))
    for name, model, x_ND in (
        ("encoder", linear, found.vector_ND[usable_N]),
        ("handcrafted features", linear, handcrafted.vector_ND[usable_N]),
        ("most frequent activity", DummyClassifier(), handcrafted.vector_ND[usable_N]),
    ):
        predicted_N = cross_val_predict(model, x_ND, y_N, groups=group_N, cv=LeaveOneGroupOut())
        scores = [
            f"{subject} {f1_score(y_N[group_N == subject], predicted_N[group_N == subject], average='macro'):.3f}"
            for subject in np.unique(group_N)
        ]
        print(f"{name:22}  macro F1 {f1_score(y_N, predicted_N, average='macro'):.3f}  ({', '.join(scores)})")


if __name__ == "__main__":
    main()
