"""Data Integrity seals: making and checking those of the suite eddsa-jcs-2022.

A seal is an Ed25519 signature over ``sha256(JCS(proof without its value)) + sha256(JCS(document))``
(Data Integrity EdDSA Cryptosuites v1.0, section 3.3). A document may carry several (a proof set), and a proof
may cover earlier ones (a proof chain, `previousProof`).

Stricter than the standard in this: a proof's @context must equal the document's, so that no unsigned context
gives signed words another meaning; every proof must be by the issuer (or holder) or a cosigner the caller
names; and a challenge or domain that nobody asked for is refused.

Seals of the suite eddsa-rdfc-2022 are checked as well, never made: they cover what a document says as RDF,
which is less than its text (see `rdf`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from credentials import contents, form, keys, rdf
from credentials.canonical import canonical
from credentials.moments import moment, stamp, zoned
from credentials.report import Findings, Report
from credentials.resolution import Resolver, speaking_key
from credentials.status import Statuses
from schemas.errors import Invalid

SUITE = "eddsa-jcs-2022"
RDF_SUITE = "eddsa-rdfc-2022"
MAX_PROOFS = 32


def seal(
    document: Mapping[str, Any],
    signer: keys.Signer,
    /,
    *,
    created: datetime,
    purpose: str = "assertionMethod",
    expires: datetime | None = None,
    challenge: str | None = None,
    domain: str | None = None,
    id: str | None = None,
    previous: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the document with one more proof; `previous` names by id the proofs it shall cover as well."""
    form.well_formed(document)
    unsealed = {name: value for name, value in document.items() if name != "proof"}
    proofs = _proofs(document) if "proof" in document else []
    config: dict[str, Any] = {"type": "DataIntegrityProof"}
    if id is not None:
        config["id"] = id
    config |= {
        "cryptosuite": SUITE,
        "created": stamp(created),
        "verificationMethod": signer.verification_method,
        "proofPurpose": purpose,
    }
    if expires is not None:
        config["expires"] = stamp(expires)
    if challenge is not None:
        config["challenge"] = challenge
    if domain is not None:
        config["domain"] = domain
    if previous:
        config["previousProof"] = previous[0] if len(previous) == 1 else list(previous)
    config["@context"] = list(document["@context"])
    covered = _covered(config, proofs)
    data = _hashed(canonical(config), canonical(unsealed | {"proof": covered} if covered else unsealed))
    proof = config | {"proofValue": keys.multibase(signer.sign(data))}
    _proofs({"proof": [*proofs, proof]})
    return unsealed | {"proof": [*proofs, proof] if proofs else proof}


def verify(
    document: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_issuer: str | None = None,
    purpose: str = "assertionMethod",
    challenge: str | None = None,
    domain: str | None = None,
    cosigners: Collection[str] = (),
    statuses: Statuses | None = None,
    contexts: rdf.Contexts | None = None,
) -> Report:
    """Look at everything a sealed credential or presentation must fulfil, and report each finding.

    `cosigners` are the DIDs that must have signed besides the issuer. Without `statuses` a credential that
    could have been revoked is refused. `contexts` are those that a seal over RDF may use. For any JSON
    value the answer is a report; only a mistake of the caller (a `now` without time zone) raises.
    """
    zoned(now)
    found = Findings(WORDS)
    if not isinstance(document, dict):
        found.refuse("readable", Invalid("It is not a JSON object."))
        return found.report()
    unsealed = {name: value for name, value in document.items() if name != "proof"}
    try:
        body = canonical(unsealed)
    except Invalid as reason:
        found.refuse("readable", reason)
        return found.report()
    found.hold("readable")

    found.document = unsealed
    contents.examine(
        found,
        unsealed,
        resolver,
        now=now,
        expected_author=expected_issuer,
        statuses=statuses,
        challenge=challenge,
        domain=domain,
        contexts=contexts,
        speaker=_speaker(document.get("proof")),
    )

    proofs = found.ask("proof", _proofs, document) or []
    case = _Case(
        unsealed,
        body,
        proofs,
        found.author,
        frozenset(cosigners),
        purpose,
        challenge,
        domain,
        resolver,
        now,
        rdf.published() if contexts is None else contexts,
    )
    for number, proof in enumerate(proofs, 1):
        found.about = {"proof": str(number)}
        _examine(found, case, proof)
    found.about = {}
    found.ask("signers", _signers, found, case)
    return found.report()


WORDS = {
    "readable": "It is JSON that every reader reads alike.",
    **contents.WORDS,
    "proof": "It is sealed.",
    "proof.suite": "Proof {proof} is of a suite known here.",
    "proof.context": "Proof {proof} was made for these meanings of the words.",
    "proof.period": "Proof {proof} has not expired.",
    "proof.purpose": "Proof {proof} was made for this purpose.",
    "proof.question": "Proof {proof} answers what was asked.",
    "proof.signer": "Proof {proof} is by one who may sign this.",
    "proof.key": "The key of proof {proof} belongs to its signer and may be used for this.",
    "proof.chain": "The proofs that proof {proof} builds on are all here.",
    "proof.signature": "The signature of proof {proof} is right: nothing was changed.",
    "signers": "All who had to sign have signed.",
}
"""What each check says when it passes."""


@dataclass(frozen=True)
class _Case:
    """A document, its proofs, and what the caller wants of them."""

    document: dict[str, Any]
    body: bytes
    proofs: list[dict[str, Any]]
    author: str | None
    cosigners: frozenset[str]
    purpose: str
    challenge: str | None
    domain: str | None
    resolver: Resolver
    now: datetime
    contexts: rdf.Contexts

    @cached_property
    def quads(self) -> bytes:
        """What the document says as RDF."""
        return rdf.canonical_quads(self.document, self.contexts)


def _examine(found: Findings, case: _Case, proof: dict[str, Any]) -> None:
    config = {name: value for name, value in proof.items() if name != "proofValue"}
    try:
        canonical(config)
    except Invalid as reason:
        found.refuse("proof.signature", reason)
        return
    found.ask("proof.suite", _suite, config)
    found.ask("proof.context", _context, config, case)
    found.ask("proof.period", _proof_period, config, case)
    found.ask("proof.purpose", _purpose, config, case)
    found.ask("proof.question", _question, config, case)
    signer = found.ask("proof.signer", _signer, config, case)
    key = found.ask("proof.key", _key, config, case)
    covered = found.ask("proof.chain", _covered, config, case.proofs)
    seal = found.ask("proof.signature", _signature, proof.get("proofValue"), key, config, covered, case)
    if seal is not None and signer is not None and signer not in found.signers:
        found.signers.append(signer)


def _proofs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "proof" not in document:
        raise Invalid("It is not sealed: it has no proof.")
    proofs = document["proof"]
    if isinstance(proofs, dict):
        proofs = [proofs]
    if not isinstance(proofs, list | tuple) or not all(isinstance(proof, dict) for proof in proofs):
        raise Invalid("Its proof is neither an object nor a list of objects.")
    if not proofs:
        raise Invalid("It is not sealed: its list of proofs is empty.")
    if len(proofs) > MAX_PROOFS:
        raise Invalid("It has more than {limit} proofs.", limit=MAX_PROOFS)
    names = [proof["id"] for proof in proofs if "id" in proof]
    if not all(form.is_url(name) for name in names):
        raise Invalid("The id of one of its proofs is not a URL.")
    if len(set(names)) != len(names):
        raise Invalid("Two of its proofs have the same id.")
    seals = [proof["proofValue"] for proof in proofs if isinstance(proof.get("proofValue"), str)]
    if len(set(seals)) != len(seals):
        raise Invalid("It carries one proof twice.")
    return list(proofs)


def _suite(proof: Mapping[str, Any]) -> None:
    if proof.get("type") != "DataIntegrityProof":
        raise Invalid("Its proof is of the unknown type {type}.", type=proof.get("type"))
    if proof.get("cryptosuite") not in (SUITE, RDF_SUITE):
        raise Invalid("Its proof uses the unknown suite {suite}.", suite=proof.get("cryptosuite"))


def _context(proof: Mapping[str, Any], case: _Case) -> None:
    if "@context" in proof and proof["@context"] != case.document.get("@context"):
        raise Invalid("Its proof was made for another @context: its words may mean something else.")


def _proof_period(proof: Mapping[str, Any], case: _Case) -> None:
    if "created" in proof and (created := moment(proof["created"])) > case.now + form.SKEW:
        raise Invalid("Its proof was made in the future, on {created}.", created=created.isoformat())
    if "expires" in proof and (expires := moment(proof["expires"])) < case.now:
        raise Invalid("Its proof expired on {expires}.", expires=expires.isoformat())


def _purpose(proof: Mapping[str, Any], case: _Case) -> None:
    if proof.get("proofPurpose") != case.purpose:
        raise Invalid(
            "Its proof was made for {found}, not for {purpose}.",
            found=proof.get("proofPurpose"),
            purpose=case.purpose,
        )


def _question(proof: Mapping[str, Any], case: _Case) -> None:
    if proof.get("challenge") != case.challenge:
        raise Invalid("Its proof does not answer the challenge that was set, or answers one that was not.")
    domains = proof.get("domain")
    if domains != case.domain and not (isinstance(domains, list) and case.domain in domains):
        raise Invalid("Its proof was made for another domain.")


def _method_url(proof: Mapping[str, Any]) -> tuple[str, str]:
    url = proof.get("verificationMethod")
    if not isinstance(url, str) or url.count("#") != 1:
        raise Invalid("Its proof does not name the key that made it.")
    return url.split("#")[0], url


def _signer(proof: Mapping[str, Any], case: _Case) -> str:
    signer, _ = _method_url(proof)
    if case.author is None:
        raise Invalid("Nobody can tell whose key should have sealed it.")
    if signer != case.author and signer not in case.cosigners:
        raise Invalid(
            "The key of {signer} sealed it, but {author} should have.", signer=signer, author=case.author
        )
    return signer


def _key(proof: Mapping[str, Any], case: _Case) -> bytes:
    did, url = _method_url(proof)
    when = moment(proof["created"]) if "created" in proof else None
    return speaking_key(case.resolver, did, url, case.purpose, when=when)


def _covered(proof: Mapping[str, Any], proofs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if "previousProof" not in proof:
        return []
    names = proof["previousProof"]
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Invalid("Its proof does not say which proofs it builds on.")
    if len(set(names)) != len(names) or proof.get("id") in names:
        raise Invalid("Its proof builds on itself, or twice on the same proof.")
    known = {earlier["id"]: earlier for earlier in proofs if "id" in earlier}
    for name in names:
        if name not in known:
            raise Invalid("Its proof builds on {missing}, which is not here.", missing=name)
    return [known[name] for name in names]


def _signature(
    value: object,
    key: bytes | None,
    config: dict[str, Any],
    covered: list[dict[str, Any]] | None,
    case: _Case,
) -> bytes:
    if not isinstance(value, str):
        raise Invalid("Its proof holds no signature.")
    seal = keys.signature(value)
    if key is None or covered is None:
        raise Invalid("The signature could not be checked.")
    data = (
        _rdf_data(config, covered, case)
        if config.get("cryptosuite") == RDF_SUITE
        else _data(config, covered, case)
    )
    if not keys.signed_by(key, data, seal):
        raise Invalid("The signature is wrong: something was changed, or another key made it.")
    return seal


def _data(config: dict[str, Any], covered: list[dict[str, Any]], case: _Case) -> bytes:
    return _hashed(canonical(config), canonical(case.document | {"proof": covered}) if covered else case.body)


def _rdf_data(config: dict[str, Any], covered: list[dict[str, Any]], case: _Case) -> bytes:
    head = rdf.canonical_quads(config | {"@context": case.document.get("@context")}, case.contexts)
    if not covered:
        return _hashed(head, case.quads)
    return _hashed(head, rdf.canonical_quads(case.document | {"proof": covered}, case.contexts))


def _signers(found: Findings, case: _Case) -> None:
    for who in _required(case):
        if who not in found.signers:
            raise Invalid("{signer} has not signed it.", signer=who)


def _required(case: _Case) -> Iterator[str]:
    if case.author is None:
        raise Invalid("Nobody can tell whose key should have sealed it.")
    yield case.author
    yield from sorted(case.cosigners)


def _speaker(proofs: Any) -> str | None:
    """Return whose key the first proof names."""
    first = proofs[0] if isinstance(proofs, list) and proofs else proofs
    try:
        return _method_url(first)[0] if isinstance(first, dict) else None
    except Invalid:
        return None


def _hashed(head: bytes, body: bytes) -> bytes:
    return sha256(head).digest() + sha256(body).digest()
