"""By which words a text is found, whatever its script.

Japanese is written without spaces, and where a word ends takes a dictionary to tell. So what stands in its
characters is found by each one and by each two that stand together: “電池パック” by 電池, 池パ, パッ, ック.
All else is found by its words. Wide and narrow, capital and small letters are one (NFKC, case folded).
"""

import re
import unicodedata
from itertools import pairwise

MOST_CHARACTERS = 10_000
"""So much of a text is looked at."""

# Kanji with their marks, kana, Hangul: one run is one stretch without spaces.
_UNSPACED = (
    "\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_RUN = re.compile(f"([{_UNSPACED}]+)|([^\\W_{_UNSPACED}]+)")
_LONGEST = 64


def _runs(text: str) -> list[tuple[str, str]]:
    return _RUN.findall(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold())


def tokens(text: str, /) -> frozenset[str]:
    """Return everything a text is found by."""
    found: set[str] = set()
    for unspaced, word in _runs(text):
        if word:
            found.add(word[:_LONGEST])
        else:
            found.update(unspaced)
            found.update(a + b for a, b in pairwise(unspaced))
    return frozenset(found)


def asked(text: str, /) -> frozenset[str]:
    """Return what a text must be found by to answer a question: as few of its tokens as cover it.

    So リチウム is asked for by リチ and ウム: a text with both and without the whole is rare, and each pair
    less makes the search faster.
    """
    found: set[str] = set()
    for unspaced, word in _runs(text):
        if word:
            found.add(word[:_LONGEST])
        elif len(unspaced) == 1:
            found.add(unspaced)
        else:
            found.update(unspaced[n : n + 2] for n in range(0, len(unspaced) - 1, 2))
            found.add(unspaced[-2:])
    return frozenset(found)
