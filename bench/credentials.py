"""What a seal costs, against ACA-Py's own eddsa-jcs-2022 and against the bare Ed25519 operation.

Each round takes every candidate in turn, so that whatever else the machine does meets all alike; the
figure is the median of all calls. Run `python bench/credentials.py [--json]`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from acapy_agent.askar.profile import AskarProfile
from acapy_agent.askar.store import AskarStoreConfig
from acapy_agent.config.injection_context import InjectionContext
from acapy_agent.resolver.default.key import KeyDIDResolver
from acapy_agent.resolver.did_resolver import DIDResolver
from acapy_agent.vc.data_integrity.manager import DataIntegrityManager
from acapy_agent.vc.data_integrity.models.options import DataIntegrityProofOptions
from acapy_agent.wallet.key_type import KeyTypes
from acapy_agent.wallet.keys.manager import MultikeyManager

from credentials.canonical import canonical
from credentials.integrity import seal, verify
from credentials.keys import LocalSigner
from credentials.resolution import KeyResolver
from credentials.vc import credential

ROUNDS, CALLS = 30, 10
CELLS, EACH = 192, 3
SEED = b"0" * 32
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


def diagnosis(issuer: str) -> dict[str, Any]:
    """Build a credential of 40 claims, like a cell's diagnosis: half texts, half measured figures."""
    claims: dict[str, Any] = {
        f"impedanceAt{step}Hertz": round(0.00095 + step * 1.37e-6, 9) for step in range(20)
    }
    claims |= {f"finding{number}": f"no trace of corrosion at place {number}" for number in range(20)}
    subject = {"id": "urn:uuid:11111111-1111-4111-8111-111111111111", **claims}
    identity = "urn:uuid:22222222-2222-4222-8222-222222222222"
    return credential(issuer, ["DiagnosisCredential"], subject, id=identity, valid_from=NOW)


async def acapy_profile() -> AskarProfile:
    """Open an ACA-Py profile over an askar wallet in memory, holding the same key."""
    store = AskarStoreConfig(
        {
            "name": "bench",
            "key": "5BngFuBpS4wjFfVFCtPqoix3ZXG2XR8XJ7qosUzMak7R",
            "key_derivation_method": "RAW",
        }
    )
    profile = AskarProfile(
        opened=await store.open_store(provision=True, in_memory=True), context=InjectionContext()
    )
    resolver = DIDResolver()
    resolver.register_resolver(KeyDIDResolver())  # type: ignore[no-untyped-call]
    profile.context.injector.bind_instance(DIDResolver, resolver)
    profile.context.injector.bind_instance(KeyTypes, KeyTypes())
    async with profile.session() as session:
        await MultikeyManager(session=session).create(seed=SEED.decode())
    return profile


async def measured(candidates: dict[str, Callable[[], Awaitable[None] | None]]) -> dict[str, float]:
    """Return each candidate's median milliseconds a call."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(ROUNDS + 2):
        for name, call in candidates.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                waiting = call()
                if waiting is not None:
                    await waiting
                if turn >= 2:  # the first two rounds warm up
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) * 1000 for name, taken in times.items()}


async def figures() -> dict[str, float]:
    """Measure everything."""
    signer = LocalSigner.from_seed(SEED)
    resolver = KeyResolver()
    payload = diagnosis(signer.did)
    sealed = seal(payload, signer, created=NOW)
    assert verify(sealed, resolver, now=NOW).verified

    public = signer.key.public_key()
    message = bytes(64)
    signature = signer.sign(message)

    profile = await acapy_profile()
    options = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "proofPurpose": "assertionMethod",
        "created": "2026-04-01T09:30:00Z",
        "verificationMethod": signer.verification_method,
    }

    async def acapy_issue() -> None:
        await acapy_sealed()

    async def acapy_sealed() -> dict[str, Any]:
        async with profile.session() as session:
            chosen = DataIntegrityProofOptions.deserialize(options)
            return dict(await DataIntegrityManager(session).add_proof(dict(payload), chosen))

    theirs = await acapy_sealed()
    assert verify(theirs, resolver, now=NOW).verified

    async def acapy_verify() -> None:
        async with profile.session() as session:
            found = await DataIntegrityManager(session).verify_proof(dict(theirs))
            assert found.verified

    def issue() -> None:
        seal(payload, signer, created=NOW)

    def check() -> None:
        assert verify(sealed, resolver, now=NOW).verified

    def canonicalise() -> None:
        canonical(payload)

    def sign() -> None:
        signer.sign(message)

    def open_seal() -> None:
        public.verify(signature, message)

    ms = await measured(
        {
            "issue": issue,
            "acapy_issue": acapy_issue,
            "ed25519_sign": sign,
            "verify": check,
            "acapy_verify": acapy_verify,
            "ed25519_verify": open_seal,
            "canonical": canonicalise,
        }
    )
    await profile.close()  # type: ignore[no-untyped-call]

    payloads = [
        diagnosis(signer.did) | {"id": f"urn:meguri:bench:{cell}:{kind}"}
        for cell in range(CELLS)
        for kind in range(EACH)
    ]
    start = time.perf_counter()
    handover = [seal(each, signer, created=NOW) for each in payloads]
    issued = time.perf_counter()
    assert all(verify(each, resolver, now=NOW).verified for each in handover)
    verified = time.perf_counter()

    return {f"{name}_ms": value for name, value in ms.items()} | {
        "issue_over_bare": ms["issue"] / ms["ed25519_sign"],
        "verify_over_bare": ms["verify"] / ms["ed25519_verify"],
        "issue_ratio_acapy_jcs": ms["acapy_issue"] / ms["issue"],
        "verify_ratio_acapy_jcs": ms["acapy_verify"] / ms["verify"],
        "handover_issue_s": issued - start,
        "handover_verify_s": verified - issued,
        "bytes": len(canonical(sealed)),
    }


def main() -> None:
    """Print the figures as a table, or as one JSON object."""
    parser = argparse.ArgumentParser(description="What a seal costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    found = asyncio.run(figures())
    if chosen.json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))
        return
    print(f"A credential of 40 claims, {found['bytes']:.0f} bytes; median of {ROUNDS * CALLS} calls\n")
    print(f"{'':12}{'here':>10}{'ACA-Py':>10}{'times':>8}{'Ed25519':>10}{'over bare':>11}")
    for name, bare in (("issue", "sign"), ("verify", "verify")):
        print(
            f"{name:12}{found[f'{name}_ms']:>7.3f} ms{found[f'acapy_{name}_ms']:>7.3f} ms"
            f"{found[f'{name}_ratio_acapy_jcs']:>8.1f}{found[f'ed25519_{bare}_ms']:>7.3f} ms"
            f"{found[f'{name}_over_bare']:>11.2f}"
        )
    print(f"\nJCS of the payload alone: {found['canonical_ms']:.3f} ms")
    print(
        f"{CELLS} cells × {EACH} credentials: issue {found['handover_issue_s']:.2f} s, "
        f"verify {found['handover_verify_s']:.2f} s"
    )


if __name__ == "__main__":
    main()
