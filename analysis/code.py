"""The digest of the code that makes a number, so that it can be named and run again."""

import hashlib
from importlib import resources

from analysis.result import digest


def code_digest(*files: str) -> str:
    """Return the digest of these files of the house (`analysis.lifetime:gp.py`), whatever their line ends."""
    contents: dict[str, str] = {}
    for file in files:
        package, _, name = file.partition(":")
        text = resources.files(package).joinpath(name).read_bytes().replace(b"\r\n", b"\n")
        contents[file] = hashlib.sha256(text).hexdigest()
    return digest(contents)
