"""Which of a member's predictions are audited: drawn so that neither side can choose.

The authority seals a seed by its digest before it knows the predictions. The member declares them before it
knows the seed. Seed and declaration order the predictions; both sides compute the same order, and whoever
changes seed or declaration afterwards is found out by the other.
"""

import math
import secrets
from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import Final

from governance.finding import Finding

LEFT_OUT: Final = Finding("left-out", "A prediction of the period that we know of is not declared.")
NOT_SUBMITTED: Final = Finding("not-submitted", "A prediction that was drawn was not sent.")
OTHER_PERIOD: Final = Finding("other-period", "A prediction that was declared is of another period.")


def no_answer(due: date) -> Finding:
    """Return what is found of a member that did not answer in time."""
    return Finding("no-answer", f"The member did not answer by {due}.")


def too_many(most: int) -> Finding:
    """Return why a member cannot declare what it made."""
    return Finding("too-many", f"More than {most} predictions were made in the period.")


def fresh_seed() -> str:
    """Return a seed of 256 bits."""
    return secrets.token_hex(32)


def commitment(seed: str) -> str:
    """Return the digest that seals a seed until it is shown."""
    return sha256(seed.encode()).hexdigest()


def drawn(declared: Sequence[str], seed: str, share_pct: int, least: int, most: int) -> tuple[str, ...]:
    """Return which of the declared are audited: the first by SHA-256(SHA-256(seed, all declared), each).

    As many as the share asks for, rounded up, at least `least`, at most `most` and all there are.
    """
    names = sorted(set(declared))
    count = min(len(names), most, max(least, math.ceil(share_pct * len(names) / 100)))
    whole = sha256("\n".join((seed, *names)).encode()).hexdigest()
    return tuple(sorted(names, key=lambda name: sha256(f"{whole}\n{name}".encode()).digest())[:count])
