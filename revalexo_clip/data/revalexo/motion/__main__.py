"""Entry point of worker processes, see `revalexo_clip.data.revalexo.pack.workers`."""

import signal
import sys

from revalexo_clip.data.revalexo.motion.measure import MeasureJob
from revalexo_clip.data.revalexo.pack.workers import serve

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and stops its workers
    serve(MeasureJob, sys.stdin, sys.stdout)
