from __future__ import annotations

from pathlib import Path

import pytest

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import Label
from revalexo_clip.devices.labels import read_labels

WALK_SIT = (Label(0.5, 2.0, "walking"), Label(2.5, 4.0, "sitting"))

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///a.mp4" MIME_TYPE="video/mp4"/></HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2000"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2500"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4000"/>
  </TIME_ORDER>
  <TIER TIER_ID="activity" LINGUISTIC_TYPE_REF="default-lt">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>walking</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>sitting</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="empty" LINGUISTIC_TYPE_REF="default-lt"/>
  MORE
</ANNOTATION_DOCUMENT>
"""
NOTES = """<TIER TIER_ID="notes" PARENT_REF="activity">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a2"><ANNOTATION_VALUE>on a chair</ANNOTATION_VALUE>
    </REF_ANNOTATION></ANNOTATION></TIER>"""


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.eaf", ELAN.replace("MORE", "")),
        ("labels.txt", "0.500000\t2.000000\twalking\n\\\t100.0\t200.0\n2.5\t4.0\tsitting\n3.0\t3.0\tclap\n"),
        ("labels.csv", "start,end,label\n2.5,4,sitting\n0.5,2,walking\n"),
        ("labels.csv", "# by hand\nStart [ms];End [ms];Activity\n500;2000;walking\n2500;4000;sitting\n"),
        ("labels.tsv", "label\tstart\tend\nwalking\t00:00:00.5\t0:02,0\nsitting\t2,5\t4\n"),
    ],
)
def test_labels_are_read_in_order_of_time(tmp_path: Path, name: str, text: str) -> None:
    track, notes = read_labels(written(tmp_path, name, text))
    assert track.labels == WALK_SIT
    assert notes == (("labels.txt: 1 label without length left out",) if name == "labels.txt" else ())


def test_a_tier_is_chosen_and_labels_of_labels_have_their_times(tmp_path: Path) -> None:
    path = written(tmp_path, "labels.eaf", ELAN.replace("MORE", NOTES))
    with pytest.raises(
        DataError, match=r"labels\.eaf: has several tiers \(activity, notes\); choose one with --label-track"
    ):
        read_labels(path)
    assert read_labels(path, "notes").track.labels == (Label(2.5, 4.0, "on a chair"),)
    assert read_labels(path, "activity").track.name == "activity"
    with pytest.raises(DataError, match="has no tier 'steps' with labels; its tiers are activity, notes"):
        read_labels(path, "steps")


def test_slots_without_a_time_lie_between_their_neighbours(tmp_path: Path) -> None:
    text = ELAN.replace("MORE", "").replace('"ts2" TIME_VALUE="2000"', '"ts2"')
    assert read_labels(written(tmp_path, "labels.eaf", text)).track.labels[0].end == 1.5


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "start,end,label\n1,0.5,walk\n", "line 2: the label 'walk' ends at 0.5 s, before it starts at 1 s"),
        ("a.csv", "start,end,label\n1,x,walk\n", "line 2: 'x' is no time"),
        ("a.csv", "start,end,label\n1,2\n", "line 2: has 2 cells, too few"),
        ("a.csv", "start,end,label\n1,2,\n", "line 2: the label is empty"),
        ("a.csv", "start,end,label\n1,nan,walk\n", "line 2: a label from 1 s to nan s is not possible"),
        ("a.csv", "from where,label\n", "labels are in ELAN files"),
        ("a.csv", "", "has no labels"),
        ("a.txt", "1\t1\tclap\n", "has no label with a start and an end"),
        ("a.eaf", "<html/>", "is not an ELAN file: its first element is html"),
        ("a.eaf", ELAN[:300], "cannot be read as an ELAN file"),
        (
            "a.eaf",
            ELAN.replace("MORE", "").replace('TIME_SLOT_REF2="ts4"', 'TIME_SLOT_REF2="ts9"'),
            "no time or label 'ts9'",
        ),
        ("a.eaf", ELAN.replace("MORE", "").replace("MIME_TYPE=", 'TIME_ORIGIN="1200" MIME_TYPE='), "by 1200 ms"),
    ],
)
def test_wrong_labels_are_one_sentence_that_names_the_file(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(DataError, match=rf"{name}: ") as raised:
        read_labels(path)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_file_is_no_labels_and_a_missing_one_an_error(tmp_path: Path) -> None:
    assert read_labels(None).track.labels == ()
    with pytest.raises(DataError, match="there is no such file with labels"):
        read_labels(tmp_path / "none.csv")
