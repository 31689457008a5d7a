"""`python -m revalexo_clip` runs `rxclip`."""

from revalexo_clip.cli.app import main

main()
