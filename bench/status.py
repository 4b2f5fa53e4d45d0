"""What a status list costs: 1,048,576 entries of which 1 % are revoked.

Run `python bench/status.py [--json]`; the figures are medians.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from credentials import base64url, status
from credentials.integrity import seal, verify
from credentials.keys import LocalSigner
from credentials.resolution import KeyResolver
from credentials.vc import credential

ENTRIES = 1_048_576
SHARE = 0.01
CALLS = 20
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
URL = "https://collector.example/status/1"


def median_ms(call: Callable[[], Any], calls: int = CALLS) -> float:
    """Return the median milliseconds of a call."""
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def figures() -> dict[str, float]:
    """Measure everything."""
    chance = Random(20260401)
    signer = LocalSigner.from_seed(b"0" * 32)
    ledger = status.opened(
        ENTRIES, decoys=8 * int(ENTRIES * SHARE), random=chance
    )  # of which an eighth is set
    mine, ledger = status.allocated(ledger, random=chance)
    bits = ledger.bits
    text = status.encode(bits)
    assert status.decode(text) == bits

    def decode_afresh() -> None:
        status._unpacked.cache_clear()  # noqa: SLF001 - else the second time costs nothing
        status.decode(text)

    def listed() -> dict[str, Any]:
        payload = status.status_list(
            signer.did, URL, bits, purpose="revocation", valid_from=NOW, valid_until=NOW + timedelta(days=1)
        )
        return seal(payload, signer, created=NOW)

    sealed = listed()
    free = next(index for index in range(ENTRIES) if not status.is_set(bits, index))
    document = seal(
        credential(
            signer.did,
            [],
            {"soh": 0.9},
            id="urn:uuid:1",
            valid_from=NOW,
            status=[status.entry(URL, free, "revocation")],
        ),
        signer,
        created=NOW,
    )
    resolver = KeyResolver()

    def check() -> None:
        assert verify(document, resolver, now=NOW, statuses=lambda url: sealed).verified

    def check_afresh() -> None:
        status._unpacked.cache_clear()  # noqa: SLF001
        check()

    return {
        "encode_ms": median_ms(lambda: status.encode(bits)),
        "decode_ms": median_ms(decode_afresh),
        "bit_us": median_ms(lambda: status.is_set(bits, free), 1000) * 1000,
        "publish_ms": median_ms(listed),
        "check_ms": median_ms(check_afresh),
        "check_again_ms": median_ms(check),
        "allocate_ms": median_ms(lambda: status.allocated(ledger)),
        "revoke_ms": median_ms(lambda: status.marked(ledger, mine)),
        "share_set": int.from_bytes(bits).bit_count() / ENTRIES,
        "bytes": len(base64url.decode(text[1:])),
        "characters": len(text),
    }


def main() -> None:
    """Print the figures as a table, or as one JSON object."""
    parser = argparse.ArgumentParser(description="What a status list costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    found = figures()
    if parser.parse_args().json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))
        return
    print(f"{ENTRIES:,} entries, {found['share_set']:.2%} set: {found['bytes']:,.0f} bytes packed\n")
    for name, words in (
        ("encode_ms", "encode"),
        ("decode_ms", "decode"),
        ("publish_ms", "build and seal the list"),
        ("check_ms", "verify a credential and its list, first time"),
        ("check_again_ms", "the same again, list unpacked already"),
        ("allocate_ms", "draw an entry"),
        ("revoke_ms", "revoke one, with decoys"),
    ):
        print(f"{words:46}{found[name]:>9.3f} ms")
    print(f"{'look at one bit':46}{found['bit_us']:>9.3f} µs")


if __name__ == "__main__":
    main()
