"""``python -m expressway``: what the workflow's jobs call."""

from expressway.cli import main

main()
