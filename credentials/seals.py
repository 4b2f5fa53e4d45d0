"""Verifying a credential whatever its seal: Data Integrity, `vc+jwt` or `dc+sd-jwt`."""

from datetime import datetime

from credentials import integrity, jwt, sdjwt
from credentials.report import Report
from credentials.resolution import Resolver
from credentials.status import Statuses


def verify(
    sealed: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_issuer: str | None = None,
    statuses: Statuses | None = None,
) -> Report:
    """Report on a sealed credential: a JSON object, or a token as text."""
    if not isinstance(sealed, str):
        return integrity.verify(sealed, resolver, now=now, expected_issuer=expected_issuer, statuses=statuses)
    token = sdjwt.verify if "~" in sealed else jwt.verify
    return token(sealed, resolver, now=now, expected_issuer=expected_issuer, statuses=statuses)
