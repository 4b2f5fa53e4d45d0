"""Base64url as JOSE writes it: no padding, and one text only for each row of bytes."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from schemas.errors import Invalid

_TEXT = re.compile("[A-Za-z0-9_-]*")


def encode(data: bytes, /) -> str:
    """Write bytes in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str, /) -> bytes:
    """Read bytes from base64url, or raise Invalid; spare bits that are not zero are refused too."""
    if _TEXT.fullmatch(text) and len(text) % 4 != 1:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if encode(data) == text:
            return data
    raise Invalid("The text is not in base64url.")
