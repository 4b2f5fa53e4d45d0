"""The tools that make figures, kept for good: every released version, found by the digest of its code.

A tool is the sources that a forecast needs and nothing else, in one archive named by their digest. So an old
version is not described but there, and an auditor runs it: in a process of its own, with limits, and with no
other code of the house than the archive's.

    python -m governance.tools        keep the present code, and print what the framework has to say of it
"""

import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from analysis.result import digest
from schemas.errors import Invalid, Unknown

SOURCES: Final = (
    "analysis/__init__.py",
    "analysis/code.py",
    "analysis/result.py",
    "analysis/lifetime/__init__.py",
    *(
        f"analysis/lifetime/{name}.py"
        for name in (
            "document",
            "fleet",
            "forecasts",
            "gp",
            "history",
            "predictive",
            "regression",
            "statement",
            "weibull",
        )
    ),
    "schemas/__init__.py",
    "schemas/errors.py",
)
KEPT: Final = Path(str(resources.files("governance"))) / "kept"
MOST_OPEN: Final = 4
_LENGTH: Final = struct.Struct(">Q")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    seconds: float = 20.0
    memory_bytes: int = 2 << 30


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the digest of sources by name, whatever their line ends."""
    plain = {name: hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest() for name, text in files.items()}
    return digest(plain)


def present() -> dict[str, bytes]:
    """Return the sources of the tool as they are now."""
    return {
        name: resources.files(name.partition("/")[0]).joinpath(name.partition("/")[2]).read_bytes()
        for name in SOURCES
    }


@cache
def present_digest() -> str:
    """Return the digest of the tool as it is now: what a forecast made here names."""
    return digest_of(present())


def keep(files: Mapping[str, bytes], folder: Path = KEPT) -> Path:
    """Keep sources as an archive under their digest; return its place."""
    place = folder / f"{digest_of(files).removeprefix('sha256:')}.zip"
    fresh = place.with_suffix(".new")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].replace(b"\r\n", b"\n"))
    return fresh.replace(place)


def find(code_digest: str, folder: Path = KEPT) -> Path:
    """Return where the tool of this digest is kept; raise `Unknown` without it, `Invalid` where damaged."""
    name = code_digest.removeprefix("sha256:")
    place = folder / f"{name}.zip"
    if len(name) != 64 or not name.isalnum() or not place.is_file():  # noqa: PLR2004 - hex digits of SHA-256
        raise Unknown("no tool of the code {digest} is kept", digest=code_digest[:80])
    try:
        with zipfile.ZipFile(place) as archive:
            files = {entry: archive.read(entry) for entry in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise Invalid("the kept tool {digest} cannot be read", digest=code_digest) from error
    if digest_of(files) != code_digest:
        raise Invalid("the kept tool {digest} is not what its name says", digest=code_digest)
    return place


class Workshop:
    """Runs kept tools, each in a process of its own that is started once and forks for every run."""

    def __init__(self, folder: Path = KEPT, limits: Limits = Limits()) -> None:
        self.folder = folder
        self.limits = limits
        self._open: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Workshop":
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """End its processes."""
        self.close()

    def run(
        self, code_digest: str, inputs: Mapping[str, Any], fleet: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        """Run the tool of this digest on these inputs; raise `Unknown` where no such tool is kept.

        The answer holds `figures`; or `not_assessable`, `invalid` or `stopped`, and why.
        """
        request = {
            "inputs": inputs,
            "fleet": fleet,
            "seconds": self.limits.seconds,
            "memory_bytes": self.limits.memory_bytes,
        }
        text = json.dumps(request, default=dict).encode()
        with self._lock:
            process = self._process(code_digest)
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(_LENGTH.pack(len(text)) + text)
                process.stdin.flush()
                head = process.stdout.read(_LENGTH.size)
                answer = process.stdout.read(_LENGTH.unpack(head)[0])
            except (OSError, struct.error):
                self._end(code_digest)
                return {"stopped": "crash", "words": "the tool does not start"}
        result: Mapping[str, Any] = json.loads(answer)
        return result

    def _process(self, code_digest: str) -> subprocess.Popen[bytes]:
        process = self._open.pop(code_digest, None)
        if process is None or process.poll() is not None:
            archive = find(code_digest, self.folder)
            while len(self._open) >= MOST_OPEN:
                self._end(next(iter(self._open)))
            process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("rerun.py")), str(archive.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                # One thread: sums in one order, and a fork leaves no other thread behind.
                env={
                    **{name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ},
                    **{f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")},
                    **{n: v for n, v in os.environ.items() if n == "OPENBLAS_CORETYPE"},
                },
            )
        self._open[code_digest] = process
        return process

    def _end(self, code_digest: str) -> None:
        process = self._open.pop(code_digest, None)
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            for code_digest in list(self._open):
                self._end(code_digest)


def main() -> None:
    """Keep the present code, and print what the framework has to say of it."""
    KEPT.mkdir(exist_ok=True)
    place = keep(present())
    sys.stdout.write(f'{place.name}\ncode_digest = "{present_digest()}"\n')


if __name__ == "__main__":
    main()
