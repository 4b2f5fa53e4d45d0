"""`python -m agents.cli` is `meguri`."""

from agents.cli.front import main

main()
