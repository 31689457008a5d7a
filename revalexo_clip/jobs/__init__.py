"""Run several commands at a time, in processes of this machine or as jobs of a cluster."""

from revalexo_clip.jobs.cluster import Cluster, run_on_cluster
from revalexo_clip.jobs.task import STARTED_BY, Task, Tell, run_here

__all__ = ["STARTED_BY", "Cluster", "Task", "Tell", "run_here", "run_on_cluster"]
