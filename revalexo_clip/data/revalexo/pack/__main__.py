"""A worker process of a pack that is being made; see `workers`."""

import signal
import sys

from revalexo_clip.data.revalexo.pack.workers import serve

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which is interrupted too, ends its workers
    serve(sys.stdin, sys.stdout)
