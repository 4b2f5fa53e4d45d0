"""A finding: what audits and their draws say where something does not hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: a stable code, the same in words, and the figures that show it."""

    code: str
    words: str
    evidence: str = ""
