"""Several real processes at a time: some fail, are killed or are stopped. Jobs of submitit."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from revalexo_clip.core.errors import ConfigError, Interrupted
from revalexo_clip.jobs import Cluster, Task, run_here, run_on_cluster
from revalexo_clip.jobs.cluster import Job
from revalexo_clip.jobs.task import Lines, gpus_of

OBEDIENT = """
import signal, sys, time
from pathlib import Path
def stop(number, frame):
    print("saved", flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
time.sleep(60)
"""
"""A process that ends in good order when it is told to."""


def task(folder: Path, name: str, *programs: str) -> Task:
    """A task that runs Python programs."""
    return Task(name, tuple((sys.executable, "-c", program) for program in programs), folder / f"{name}.txt")


class Heard:
    """The output of tasks, line by line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def wait_for(self, count: int) -> None:
        until = time.monotonic() + 60
        while len(self.lines) < count and time.monotonic() < until:
            time.sleep(0.05)


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_run_at_a_time_as_may(jobs: int, tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
print(time.time(), flush=True)
Path(f"{tmp_path}/begun-{{os.getpid()}}").touch()
while len(list(Path("{tmp_path}").glob("begun-*"))) < {jobs}:  # also on a busy machine
    time.sleep(0.05)
time.sleep(0.3)
print(time.time())
"""
    heard = Heard()
    assert run_here([task(tmp_path, name, program) for name in "abc"], jobs, heard) == {}
    spans = [[float(line) for name, line in heard.lines if name == own] for own in "abc"]
    together = max(sum(begun <= other[0] < ended for begun, ended in spans) for other in spans)
    assert together == jobs


def test_a_task_that_fails_is_told_in_its_own_words_and_keeps_no_other_from_running(tmp_path: Path) -> None:
    tasks = [
        task(
            tmp_path, "told", "import sys; print('error: no\\n  such file', file=sys.stderr); sys.exit(2)", "print(1)"
        ),
        task(tmp_path, "silent", "import sys; sys.exit(3)"),
        task(tmp_path, "raised", "raise RuntimeError('oh')"),
        task(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"),
        task(tmp_path, "done", "print('first')", "print('second')"),
    ]
    heard = Heard()
    assert run_here(tasks, 2, heard) == {
        "told": "no\n  such file",
        "silent": "exit code 3: it printed nothing",
        "raised": "exit code 1: RuntimeError: oh",
        "killed": "ended by SIGKILL",
    }
    assert [line for name, line in heard.lines if name == "done"] == ["first", "second"]
    assert ("told", "1") not in heard.lines


def test_processes_know_how_many_share_the_machine(tmp_path: Path) -> None:
    heard = Heard()
    run_here([task(tmp_path, name, "import os; print(os.environ['RXCLIP_RUNS_HERE'])") for name in "ab"], 5, heard)
    assert sorted(heard.lines) == [("a", "2"), ("b", "2")]


@pytest.mark.parametrize(
    ("jobs", "gpus", "expected"),
    [(2, "0123", ["01", "23"]), (2, "012", ["0", "1"]), (3, "01", ["0", "1", "0"]), (2, "7", ["7", "7"])],
)
def test_processes_share_the_gpus(jobs: int, gpus: str, expected: list[str]) -> None:
    assert ["".join(gpus_of(place, jobs, list(gpus))) for place in range(jobs)] == expected


def test_tasks_under_way_are_told_to_stop_and_waited_for(tmp_path: Path) -> None:
    heard = Heard()
    tasks = [task(tmp_path, name, OBEDIENT, "print('not begun')") for name in "abc"]

    def stop() -> None:
        heard.wait_for(2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted, match="SIGTERM") as interrupted:
        run_here(tasks, 2, heard)
    assert interrupted.value.exit_code == 128 + signal.SIGTERM
    assert sorted(heard.lines) == [("a", "begun"), ("a", "saved"), ("b", "begun"), ("b", "saved")]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_lines_are_told_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "printed.txt"
    lines = Lines(path)
    assert lines.new() == []
    path.write_bytes("grün\nhal".encode())
    assert lines.new() == ["grün"]
    assert lines.new() == []
    path.write_bytes("grün\nhalb\n\n".encode())
    assert lines.new() == ["halb", ""]


@pytest.mark.long
def test_jobs_of_submitit_run_the_same_tasks(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    heard = Heard()
    tasks = [
        task(tmp_path, "told", "import sys; print('error: no such file'); sys.exit(2)"),
        task(tmp_path, "done", "print('first')", "print('second')"),
    ]
    failures = run_on_cluster(tasks, 1, Cluster("local", {"timeout_min": 2}), tmp_path / "jobs", heard)
    assert failures == {"told": "no such file"}
    assert [line for name, line in heard.lines if name == "done"][1:] == ["first", "second"]


def test_a_job_whose_time_is_nearly_over_lets_its_task_save_and_is_begun_again(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    job = Job(task(tmp_path, "fold", OBEDIENT), tmp_path)
    lines, printed = Lines(job.task.output), list[str]()
    threading.Thread(target=job, daemon=True).start()
    while not printed:
        time.sleep(0.05)
        printed += lines.new()
    again = job.checkpoint()
    assert [*printed, *lines.new()] == ["begun", "saved"]
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function.task == job.task


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        (Cluster("local", {"gpu": 1}), "Unknown|prefixed"),
        (Cluster("local", {"timeout_min": "long"}), "timeout_min"),
        (Cluster("slurm", {}), "slurm"),
    ],
)
def test_an_unknown_cluster_or_setting_is_refused(cluster: Cluster, told: str, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ConfigError, match=rf"(?s)--cluster {cluster.kind}: .*({told})"):
        run_on_cluster([task(tmp_path, "a", "print(1)")], 1, cluster, tmp_path / "jobs", Heard())
