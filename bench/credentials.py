"""What a seal costs, against ACA-Py's own seals and against the bare Ed25519 operation.

ACA-Py's are eddsa-jcs-2022 over the same payload, and Ed25519Signature2020 over the same forty claims in the
form that it is made for (VCDM 1.1, contexts as ACA-Py ships them, cached as in a running agent).

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
from acapy_agent.cache.base import BaseCache
from acapy_agent.cache.in_memory import InMemoryCache
from acapy_agent.config.injection_context import InjectionContext
from acapy_agent.resolver.default.key import KeyDIDResolver
from acapy_agent.resolver.did_resolver import DIDResolver
from acapy_agent.vc.data_integrity.manager import DataIntegrityManager
from acapy_agent.vc.data_integrity.models.options import DataIntegrityProofOptions
from acapy_agent.wallet.key_type import ED25519, KeyTypes
from acapy_agent.wallet.keys.manager import MultikeyManager

from credentials import base58
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


def diagnosis_2020(issuer: str) -> dict[str, Any]:
    """Build the same claims as Ed25519Signature2020 wants them."""
    payload = {name: value for name, value in diagnosis(issuer).items() if name != "validFrom"}
    contexts = [
        "https://www.w3.org/2018/credentials/v1",
        "https://w3id.org/security/suites/ed25519-2020/v1",
        {"@vocab": "https://meguri.example/terms#"},
    ]
    return payload | {"@context": contexts, "issuanceDate": "2026-04-01T09:30:00Z"}


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
    profile.context.injector.bind_instance(BaseCache, InMemoryCache())  # type: ignore[type-abstract, no-untyped-call]
    async with profile.session() as session:
        await MultikeyManager(session=session).create(seed=SEED.decode())
    return profile


async def measured(
    candidates: dict[str, Callable[[], Awaitable[None] | None]], rounds: int = ROUNDS, calls: int = CALLS
) -> dict[str, float]:
    """Return each candidate's median milliseconds a call."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 2):
        for name, call in candidates.items():
            for _ in range(calls):
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


async def figures_2020() -> dict[str, float]:
    """Measure ACA-Py's Ed25519Signature2020; its imports change how every event loop of a process runs."""
    from acapy_agent.vc.ld_proofs import DocumentLoader, WalletKeyPair
    from acapy_agent.vc.ld_proofs.suites.ed25519_signature_2020 import Ed25519Signature2020
    from acapy_agent.vc.vc_ld.issue import issue as seal_2020
    from acapy_agent.vc.vc_ld.verify import verify_credential as verify_2020

    signer, resolver = LocalSigner.from_seed(SEED), KeyResolver()
    payload, old = diagnosis(signer.did), diagnosis_2020(signer.did)
    sealed = seal(payload, signer, created=NOW)
    profile = await acapy_profile()
    loader = DocumentLoader(profile)
    verkey = base58.encode(signer.key.public_key().public_bytes_raw())
    suite = Ed25519Signature2020(
        key_pair=WalletKeyPair(profile=profile, key_type=ED25519, public_key_base58=verkey),
        verification_method=signer.verification_method,
        date=NOW,
    )
    theirs = await seal_2020(credential=dict(old), suite=suite, document_loader=loader)
    subject = theirs["credentialSubject"] | {"finding1": "corroded"}
    changed = await verify_2020(
        credential=theirs | {"credentialSubject": subject}, suites=[suite], document_loader=loader
    )
    assert not changed.verified  # so what is measured looks at every claim

    async def acapy_issue() -> None:
        await seal_2020(credential=dict(old), suite=suite, document_loader=loader)

    async def acapy_verify() -> None:
        found = await verify_2020(credential=dict(theirs), suites=[suite], document_loader=loader)
        assert found.verified, found.errors

    def issue() -> None:
        seal(payload, signer, created=NOW)

    def check() -> None:
        assert verify(sealed, resolver, now=NOW).verified

    ms = await measured(
        {"issue": issue, "acapy_issue": acapy_issue, "verify": check, "acapy_verify": acapy_verify},
        rounds=5,
        calls=4,
    )
    await profile.close()  # type: ignore[no-untyped-call]
    return {
        "acapy_issue_2020_ms": ms["acapy_issue"],
        "acapy_verify_2020_ms": ms["acapy_verify"],
        "issue_ratio_acapy_2020": ms["acapy_issue"] / ms["issue"],
        "verify_ratio_acapy_2020": ms["acapy_verify"] / ms["verify"],
    }


def main() -> None:
    """Print the figures as a table, or as one JSON object."""
    parser = argparse.ArgumentParser(description="What a seal costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    found = asyncio.run(figures())
    found |= asyncio.run(figures_2020())
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
    print()
    for name in ("issue", "verify"):
        print(
            f"{name} by ACA-Py's Ed25519Signature2020: {found[f'acapy_{name}_2020_ms']:.1f} ms, "
            f"{found[f'{name}_ratio_acapy_2020']:.0f} times as long as here"
        )
    print(f"\nJCS of the payload alone: {found['canonical_ms']:.3f} ms")
    print(
        f"{CELLS} cells × {EACH} credentials: issue {found['handover_issue_s']:.2f} s, "
        f"verify {found['handover_verify_s']:.2f} s"
    )


if __name__ == "__main__":
    main()
