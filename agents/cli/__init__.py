"""The command line `meguri`: one command for each action, and what there is to look at and to run."""

from agents.cli.front import main

__all__ = ["main"]
