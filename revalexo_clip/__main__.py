"""`python -m revalexo_clip` is `rxclip`."""

from revalexo_clip.cli import main

main()
