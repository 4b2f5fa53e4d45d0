// Checks a sealed statement in the reader's own browser, so that nobody needs to believe the server that shows it.
// It reads strictly, as the server does (credentials/): what two readers could read differently is refused.
// Sources: RFC 8785 (JCS), VC Data Integrity EdDSA Cryptosuites 1.0 (eddsa-jcs-2022), did:key, did:webvh 1.0,
// Bitstring Status List 1.0. Nothing is loaded but from this site; what that leaves open is said.

const SAFE = Number.MAX_SAFE_INTEGER;
const MOST = 1 << 24;
const DEEPEST = 64;
const SKEW = 60_000;

class Wrong extends Error {}
const refuse = (why) => { throw new Wrong(why); };
const must = (held, why) => held || refuse(why);

// JSON, read strictly: no name twice, no number that would be rounded, no half characters.

export function parse(text) {
  let at = 0;
  must(typeof text === "string" && text.length <= MOST, "too large");
  const blank = () => { while (" \t\n\r".includes(text[at] || "x")) at++; };
  const match = (shape) => { shape.lastIndex = at; const found = shape.exec(text); if (found) at = shape.lastIndex; return found && found[0]; };
  const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
  const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
  const string = () => {
    const found = must(match(STRING), "not JSON");
    const value = JSON.parse(found);
    must(value.isWellFormed ? value.isWellFormed() : !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(value), "half a character");
    return value;
  };
  const items = (close, one) => {
    at++; blank();
    if (text[at] === close) { at++; return; }
    for (;;) {
      one(); blank();
      if (text[at] === close) { at++; return; }
      must(text[at] === ",", "not JSON"); at++; blank();
    }
  };
  const value = (room) => {
    must(room, "nested too deep"); blank();
    if (text[at] === "{") {
      const found = Object.create(null);
      items("}", () => {
        const name = string(); blank();
        must(text[at] === ":", "not JSON"); at++;
        must(!(name in found), "a name stands twice");
        found[name] = value(room - 1);
      });
      return found;
    }
    if (text[at] === "[") { const found = []; items("]", () => found.push(value(room - 1))); return found; }
    if (text[at] === '"') return string();
    for (const [word, meaning] of [["true", true], ["false", false], ["null", null]]) {
      if (text.startsWith(word, at)) { at += word.length; return meaning; }
    }
    const digits = must(match(NUMBER), "not JSON"), number = Number(digits);
    must(Number.isFinite(number), "not a number");
    must(!/^-?[0-9]+$/.test(digits) || Math.abs(number) <= SAFE || String(number) === digits, "a number too long");
    return number;
  };
  const found = value(DEEPEST + 1);
  blank();
  must(at === text.length, "not JSON");
  return found;
}

// RFC 8785: names in the order of UTF-16 code units; ECMAScript writes strings and numbers as it asks.
export function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

// Keys, signatures and digests

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

export function base58(text) {
  const bytes = [];
  for (const digit of text) {
    let carry = ALPHABET.indexOf(digit);
    must(carry >= 0, "not base58");
    for (let n = 0; n < bytes.length; n++) { carry += bytes[n] * 58; bytes[n] = carry & 255; carry >>= 8; }
    while (carry) { bytes.push(carry & 255); carry >>= 8; }
  }
  for (const digit of text) { if (digit !== "1") break; bytes.push(0); }
  return Uint8Array.from(bytes.reverse());
}

function to58(bytes) {
  const digits = [];
  for (const byte of bytes) {
    let carry = byte;
    for (let n = 0; n < digits.length; n++) { carry += digits[n] << 8; digits[n] = carry % 58; carry = (carry / 58) | 0; }
    while (carry) { digits.push(carry % 58); carry = (carry / 58) | 0; }
  }
  for (const byte of bytes) { if (byte) break; digits.push(0); }
  return digits.reverse().map((digit) => ALPHABET[digit]).join("");
}

const bytesOf = (text) => new TextEncoder().encode(text);
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const multihash = async (text) => to58(joined([0x12, 0x20], await sha256(bytesOf(text))));
const omit = (object, ...names) => Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));

function multikey(text) {
  must(typeof text === "string" && /^z6Mk[1-9A-HJ-NP-Za-km-z]{44}$/.test(text), "not an Ed25519 key");
  const bytes = base58(text.slice(1));
  must(bytes.length === 34 && bytes[0] === 0xed && bytes[1] === 1, "not an Ed25519 key");
  return bytes.slice(2);
}

async function isSigned(key, config, document, seal) {
  must(typeof seal === "string" && /^z[1-9A-HJ-NP-Za-km-z]{64,88}$/.test(seal), "no signature");
  const signature = base58(seal.slice(1));
  must(signature.length === 64, "no signature");
  const data = joined(await sha256(bytesOf(canonical(config))), await sha256(bytesOf(canonical(document))));
  const opened = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, opened, signature, data);
}

export async function canVerify() {
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32).fill(1), { name: "Ed25519" }, false, ["verify"]);
    return true;
  } catch { return false; }
}

const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const moment = (text) => (typeof text === "string" && STAMP.test(text) && Date.parse(text)) || refuse("not a time");
const isFormed = (proof) => proof && proof.type === "DataIntegrityProof" && proof.cryptosuite === "eddsa-jcs-2022" && proof.proofPurpose === "assertionMethod";

// did:webvh: every entry follows from the one before by its hash, and is signed by a key that was allowed to.
// Witnesses' approvals are not looked at here, and whether a later entry was held back nobody can see from a log.
export async function versions(did, log, now) {
  const scid = must(did.match(/^did:webvh:(Qm[1-9A-HJ-NP-Za-km-z]{44}):.+/), "not a did:webvh")[1];
  const found = [];
  let rules = {};
  for (const line of log.replace(/\n$/, "").split("\n")) {
    const entry = parse(line), content = omit(entry, "proof"), last = found.at(-1), before = { ...rules };
    must(Object.keys(entry).sort().join() === "parameters,proof,state,versionId,versionTime", "an entry lacks a part");
    must(!before.deactivated, "it was given up");
    rules = { ...rules, ...entry.parameters };
    if (last) must(!("scid" in entry.parameters), "its hash was changed");
    else {
      must(rules.method === "did:webvh:1.0" && rules.scid === scid, "made by other rules");
      const first = canonical({ ...content, versionId: "{SCID}" }).replaceAll(scid, "{SCID}");
      must((await multihash(first)) === scid, "the DID is not made from this entry");
    }
    const committed = last && before.nextKeyHashes?.length ? before.nextKeyHashes : null;
    if (committed) {
      must(entry.parameters.updateKeys && entry.parameters.nextKeyHashes, "keys that were not committed to");
      for (const key of rules.updateKeys) must(committed.includes(await multihash(key)), "keys that were not committed to");
    }
    const hash = await multihash(canonical({ ...content, versionId: last ? last.id : scid }));
    must(entry.versionId === `${found.length + 1}-${hash}`, "an entry was changed");
    const time = moment(entry.versionTime);
    must(time <= now + SKEW && (!last || time > last.time), "an entry is out of its time");
    must(Array.isArray(entry.proof) && entry.proof.length, "an entry is not signed");
    const allowed = !last || committed ? rules.updateKeys : before.updateKeys;
    for (const proof of entry.proof) {
      const key = String(proof.verificationMethod).split("#")[1];
      must(isFormed(proof) && !("expires" in proof) && proof.verificationMethod === `did:key:${key}#${key}` && allowed.includes(key), "an entry is signed by another");
      must(await isSigned(multikey(key), omit(proof, "proofValue"), content, proof.proofValue), "an entry's signature is wrong");
    }
    found.push({ id: entry.versionId, time, document: entry.state, deactivated: rules.deactivated === true });
  }
  must(found.at(-1).document.id === did, "the log is of another DID");
  return found;
}

async function keyOf(did, url, created, site, now) {
  if (did.startsWith("did:key:")) {
    must(url === `${did}#${did.slice(8)}`, "no key of the issuer's");
    return multikey(did.slice(8));
  }
  must(did.startsWith("did:webvh:"), "a DID of another kind");
  const history = await versions(did, await site.log(did), now);
  must(!history.at(-1).deactivated, "the issuer gave its DID up");
  // Keys stay in the document with the date from which they count no more; so the last one tells of all times.
  const { document } = history.at(-1);
  const named = (one) => (String(one).startsWith("#") ? did + one : one);
  const allowed = (document.assertionMethod || []).map((one) => named(one.id || one));
  const method = [...(document.verificationMethod || []), ...(document.assertionMethod || [])].find((one) => one.id && named(one.id) === url);
  must(method && method.controller === did && allowed.includes(url), "no key of the issuer's");
  for (const end of ["revoked", "expires"]) must(!(end in method) || created < moment(method[end]), "the key was taken back");
  return multikey(method.publicKeyMultibase);
}

async function unpacked(text) {
  must(typeof text === "string" && /^u[A-Za-z0-9_-]+$/.test(text), "no list");
  const raw = Uint8Array.from(atob(text.slice(1).replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader(), parts = [];
  for (let size = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return joined(...parts);
    must((size += value.length) <= MOST, "too large");
    parts.push(value);
  }
}

// The checks, in the order in which a reader wants to know.

// Returns [{ check, state: "held" | "failed" | "open", why }], all "held" where nothing is left to doubt.
// `site` gives what only this site can: `log(did)`, and `list(url)`, or nothing where it is another's.
export async function examine(text, site, now = Date.now()) {
  const found = [];
  const ask = async (check, judge) => {
    try { const value = await judge(); found.push({ check, state: "held" }); return value; } catch (error) {
      found.push({ check, state: error instanceof Wrong || error instanceof TypeError ? "failed" : "open", why: error.message });
      return undefined;
    }
  };
  const document = await ask("readable", () => {
    const value = parse(text);
    must(value && typeof value === "object" && !Array.isArray(value), "not an object");
    return value;
  });
  if (!document) return found;
  const body = omit(document, "proof"), proofs = [document.proof].flat();
  const issuer = typeof body.issuer === "string" ? body.issuer : body.issuer?.id;
  await ask("form", () => {
    must(body["@context"]?.[0] === "https://www.w3.org/ns/credentials/v2", "other words");
    must([body.type].flat().includes("VerifiableCredential") && body.credentialSubject, "not a credential");
    must(typeof issuer === "string" && issuer.startsWith("did:"), "no issuer");
  });
  await ask("period", () => {
    must(!("validFrom" in body) || moment(body.validFrom) <= now + SKEW, "not yet valid");
    must(!("validUntil" in body) || moment(body.validUntil) >= now, "expired");
  });
  if (!(await canVerify())) return [...found, { check: "browser", state: "open", why: "Ed25519" }];
  await ask("signature", async () => {
    must(proofs.length && proofs.length <= 32 && proofs.every(Boolean), "not sealed");
    must(new Set(proofs.map((one) => one.proofValue)).size === proofs.length, "a proof stands twice");
    for (const proof of proofs) {
      must(isFormed(proof), "a seal of another kind");
      must(!("@context" in proof) || canonical(proof["@context"]) === canonical(body["@context"]), "made for other words");
      const [did, ...rest] = String(proof.verificationMethod).split("#");
      must(rest.length === 1 && did === issuer, "sealed by another");
      must(!("challenge" in proof) && !("domain" in proof), "made for somebody else");
      must(!("expires" in proof) || moment(proof.expires) >= now, "expired");
      const created = "created" in proof ? moment(proof.created) : now;
      must(created <= now + SKEW, "made in the future");
      const names = "previousProof" in proof ? [proof.previousProof].flat() : [];
      const covered = names.map((name) => proofs.find((one) => one.id === name && one !== proof) || refuse("a proof is missing"));
      const whole = covered.length ? { ...body, proof: covered } : body;
      const key = await keyOf(did, proof.verificationMethod, "created" in proof ? created : Infinity, site, now);
      must(await isSigned(key, omit(proof, "proofValue"), whole, proof.proofValue), "something was changed");
    }
  });
  if (issuer?.startsWith("did:webvh:")) found.push({ check: "log", state: "open" });
  for (const entry of "credentialStatus" in body ? [body.credentialStatus].flat() : []) {
    await ask("status", async () => {
      must(entry.type === "BitstringStatusListEntry" && /^\d{1,9}$/.test(entry.statusListIndex), "a status of another kind");
      const sealed = await site.list(entry.statusListCredential);
      if (sealed === undefined) throw new Error("elsewhere");
      const list = parse(sealed), checks = await examine(sealed, site, now);
      const whose = typeof list.issuer === "string" ? list.issuer : list.issuer?.id;
      must(whose === issuer && list.id === entry.statusListCredential && !("credentialStatus" in list), "another list");
      must(checks.every((one) => one.state === "held" || one.check === "log"), "a list that does not verify");
      must([list.credentialSubject.statusPurpose].flat().includes(entry.statusPurpose), "another list");
      const bits = await unpacked(list.credentialSubject.encodedList), at = Number(entry.statusListIndex);
      must(at < bits.length * 8, "a list that ends before");
      must(!((bits[at >> 3] >> (7 - (at & 7))) & 1), "revoked");
    });
  }
  return found;
}

// On the page: the sentences stand in it, in the reader's language; here it is only shown which of them are so.

async function show(place) {
  const own = (url) => new URL(url, location.href).origin === location.origin;
  const get = async (url, accept) => {
    const asked = fetch(url, { headers: { Accept: accept }, credentials: "omit", redirect: "error" });
    const answer = await asked.catch(() => { throw new Error("unreachable"); });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  };
  const site = {
    log: (did) => get(`/published/log?did=${encodeURIComponent(did)}`, "text/jsonl"),
    list: (url) => (own(url) ? get(url, "application/vc") : undefined),
  };
  let found;
  try {
    const text = await get(place.dataset.verify, "application/vc");
    found = await examine(text, site);
    // The page's own words come from the server; these are from the document that was checked.
    place.querySelector("[data-read]").textContent = JSON.stringify(parse(text).credentialSubject, null, 1);
  } catch (error) { found = [{ check: "fetched", state: "open", why: error.message }]; }
  for (const { check, state } of found) {
    const line = place.querySelector(`[data-check="${check}"][data-state="${state}"]`);
    if (line) line.hidden = false;
  }
  const worst = ["failed", "open"].find((state) => found.some((one) => one.state === state && one.check !== "log")) || "held";
  place.querySelector("[data-waiting]").hidden = true;
  place.querySelector(`[data-result="${worst}"]`).hidden = false;
}

if (typeof document !== "undefined") for (const place of document.querySelectorAll("[data-verify]")) show(place);
