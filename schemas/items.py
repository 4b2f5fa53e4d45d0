"""What an item is called: one code that people scan and type, and the URI that makes it unique in the world.

A code is `P3F9KQ27MH-5` (a pack) or `P3F9KQ27MH-C017-2` (a cell that came out of it): a kind letter and
nine random Crockford base-32 characters, the local part if there is one, and a check character by
ISO/IEC 7064 MOD 37,36, which finds every single wrong character and nearly every swapped pair.
"""

import re
import secrets
from functools import lru_cache
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, StringConstraints

from schemas.errors import Invalid

Kind = Literal["vehicle", "pack", "module", "cell", "lot", "product", "material"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LETTERS: dict[str, Kind] = {
    "V": "vehicle",
    "P": "pack",
    "M": "module",
    "C": "cell",
    "L": "lot",
    "R": "product",
    "S": "material",
}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE = re.compile(r"([VPLRS])([0-9A-HJKMNP-TV-Z]{9})(?:-([MCS])(\d{3}))?-([0-9A-Z])")


@lru_cache(maxsize=4096)  # a code is read in the form, in the message and wherever it comes by again
def check_character(text: str) -> str:
    """Return the ISO/IEC 7064 MOD 37,36 check character of the letters and digits of `text`.

    p_0 = 36; p_{i+1} = 2·((p_i + a_i) mod 36, or 36 when that is 0) mod 37; the check c has
    (p + c) mod 36 = 1.
    """
    product = 36
    for character in text:
        if character != "-":
            total = (product + _VALUES[character]) % 36 or 36
            product = 2 * total % 37
    return _ALPHABET[(37 - product) % 36]


def mint(kind: Kind, within: str | None = None, number: int | None = None) -> str:
    """Return a fresh code for an item of `kind`; what came out of `within` is numbered inside it."""
    letter = next(letter for letter, name in LETTERS.items() if name == kind)
    if within is not None:
        stem = f"{within.split('-')[0]}-{letter}{number:03d}"
    else:
        stem = letter + "".join(secrets.choice(_CROCKFORD) for _ in range(9))
    return f"{stem}-{check_character(stem)}"


def read_code(text: str) -> str:
    """Return the code in its one spelling, or raise `Invalid` saying what is wrong with it."""
    code = text.strip().upper()
    found = _CODE.fullmatch(code)
    if found is None:
        raise Invalid("“{code}” is not an item code: a code looks like P3F9KQ27MH-5", code=text[:40])
    stem, _, check = code.rpartition("-")
    if check_character(stem) != check:
        raise Invalid("“{code}” is mistyped: its check character does not fit", code=code)
    return code


def find_codes(text: str) -> tuple[str, ...]:
    """Return the codes that stand in a text, each once, in the order they first appear."""
    found = dict.fromkeys(match[0] for match in _CODE.finditer(text))
    return tuple(code for code in found if check_character(code[:-2]) == code[-1])


def kind_of(code: str) -> Kind:
    """Return the kind of item that a code names."""
    found = _CODE.fullmatch(code)
    if found is None:
        raise Invalid("“{code}” is not an item code: a code looks like P3F9KQ27MH-5", code=code[:40])
    return LETTERS[found[3] or found[1]]


def _checked(text: str) -> str:
    try:
        return read_code(text)
    except Invalid as invalid:
        raise ValueError(str(invalid)) from invalid


Code = Annotated[str, StringConstraints(max_length=40), AfterValidator(_checked)]


def item_uri(registrar: str, code: str) -> str:
    """Return the item's DID URL under the DID of the company that registered it."""
    base, _, local = code.partition("-")
    return f"{registrar}/items/{base}" + (f"#{local}" if local.count("-") else "")


def read_uri(uri: str) -> tuple[str, str]:
    """Return the registrar and the code that an item's DID URL names, or raise `Invalid`."""
    registrar, _, rest = uri.partition("/items/")
    base, _, local = rest.partition("#")
    base = base.strip().upper()
    code = f"{base}-{local}" if local else base
    if not local and "-" not in base and set(base) <= _VALUES.keys():
        code = f"{base}-{check_character(base)}"
    return registrar, read_code(code)
