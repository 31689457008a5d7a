"""Entry point of worker processes, see `workers`."""

import signal
import sys

from revalexo_clip.data.revalexo.pack.part import Job
from revalexo_clip.data.revalexo.pack.workers import serve

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and stops its workers
    serve(Job, sys.stdin, sys.stdout)
