"""`python -m revalexo_clip` is `rxclip`."""

from revalexo_clip.cli.app import main

main()
