"""How an item's story is drawn: its chain as a tree, events by date, credentials with their verdicts."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from agents.cli.call import Call
from agents.cli.paper import Ink, Paper, Text, bad, clean, columns, faint, good, local, loud
from agents.words import SENTENCES, titled

_SICK: Final = frozenset(
    {"refused", "declined", "withdrawn", "cancelled", "suspended", "disputed", "dead", "failed"}
)
_HEALTHY: Final = frozenset(
    {"accredited", "accepted", "received", "closed", "certified", "done", "taken", "held"}
)
_NARROWEST: Final = 30


def state(call: Call, name: str, protocol: str = "") -> Ink:
    """Return a state, coloured where it is good or bad news."""
    colour = "red" if name in _SICK else "green" if name in _HEALTHY else ""
    return Ink(call.term(name, protocol), colour)


def protocol_name(call: Call, protocol: str) -> str:
    """Return what a protocol is called."""
    return call.say(protocol.split("/", maxsplit=1)[0].capitalize())


def title(call: Call, name: str) -> str:
    """Return a field's name in words, its unit in brackets."""
    return call.say(titled(name))


def label(peer: Mapping[str, Any] | None) -> str:
    """Return what to call a company."""
    return str((peer or {}).get("name") or (peer or {}).get("did") or (peer or {}).get("id") or "")


def values(call: Call, body: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """List what is in a body in one line each, without what is empty; of what is nested, how many."""
    for name, value in body.items():
        if value in (None, "", [], {}):
            continue
        if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
            yield title(call, name), ", ".join(_said(call, name, one) for one in value)
        elif isinstance(value, list | dict):
            yield title(call, name), str(len(value))
        else:
            yield title(call, name), _said(call, name, value)


def _said(call: Call, name: str, value: object) -> str:
    return call.told(str(value)) if name in SENTENCES else str(value)


def contents(call: Call, paper: Paper, body: Mapping[str, Any], *, indent: int) -> None:
    """Draw a body: single values below each other, rows as a table."""
    nested = {name: value for name, value in body.items() if _nested(value)}
    paper.pairs(values(call, {name: body[name] for name in body if name not in nested}), indent=indent)
    for name, value in nested.items():
        paper.line(" " * indent, faint(title(call, name)))
        if isinstance(value, Mapping):
            shown = [(key, one if isinstance(one, str) else _compact(one)) for key, one in value.items()]
            paper.pairs(shown, indent=indent + 2)
        else:
            heads = list(dict.fromkeys(key for row in value for key in row))
            rows = [[_cell(row.get(key)) for key in heads] for row in value]
            paper.table([title(call, key) for key in heads], rows, indent=indent + 2)


def _nested(value: object) -> bool:
    rows = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    return bool(rows or (isinstance(value, dict) and value))


def _cell(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else _compact(value)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(clean(text)))


def _widest(texts: Iterable[str]) -> int:
    return max((columns(clean(text)) for text in texts), default=0)


def statements(call: Call, paper: Paper, found: Sequence[Mapping[str, Any]]) -> None:
    """Draw credentials: what each states about what, by whom, and why one does not verify."""
    kinds = [call.term(one["type"], "claim") for one in found]
    abouts = [_about(one["about"]) for one in found]
    issuers = [one["issuer_name"] or _about(one["issuer"]) for one in found]
    wide = [_widest(column) for column in (kinds, abouts, issuers)]
    for one, kind, about, issuer in zip(found, kinds, abouts, issuers, strict=True):
        holds = one.get("verified", one.get("verifies"))
        mark = good("✓") if holds else bad("✗")
        line = (
            f" {_padded(kind, wide[0])}  {_padded(about, wide[1])}  "
            if wide[1]
            else f" {_padded(kind, wide[0])}  "
        )
        paper.line("  ", mark, line, faint(f"{_padded(issuer, wide[2])}  {local(one['at'])}"))
        if not holds:
            since = one.get("since") or (one.get("standing") or {}).get("at")
            known = faint("  " + call.say("known since {time}", time=local(since))) if since else ""
            paper.line("      ", bad(call.told(one.get("reason", one.get("why_not", "")))), known)


def _about(name: str) -> str:
    """Return a short name for what a credential is about; companies' own need none."""
    if name.startswith("did:"):
        return ""
    return f"…{name[-8:]}" if name.startswith("urn:") else name


def events(call: Call, paper: Paper, found: Sequence[Mapping[str, Any]], *, of_several: bool) -> None:
    """Draw events by date: which item, what, where, by whom, and what was noted."""
    dates = [local(one["when"]) for one in found]
    codes = [str(one.get("item", "")) if of_several else "" for one in found]
    terms = [call.term(one["what"], "event") for one in found]
    whats = [term[:1].lower() + term[1:] for term in terms]
    wide = [_widest(column) for column in (dates, codes, whats)]
    for one, date, code, what in zip(found, dates, codes, whats, strict=True):
        annulled = bool(one.get("annulled"))
        parts: list[Text] = ["  ", faint(_padded(date, wide[0])), "  "]
        parts += [_padded(code, wide[1]), "  "] if wide[1] else []
        parts += [
            Ink(_padded(what, wide[2]), bold=not annulled, dim=annulled),
            "  ",
            _where(one),
            faint(_who(one)),
        ]
        parts += [bad("  " + call.say("corrected since"))] if annulled else []
        paper.line(*parts)
        seen = {one["where"], code, ""}
        noted = [f"{name}: {text}" for name, text in values(call, one["details"]) if text not in seen]
        told = "; ".join(dict.fromkeys([*([one["how"]] if one["how"] else []), *noted]))
        margin = 2 + wide[0] + 2
        for line in _wrapped(told, max((paper.width or 10_000) - margin, _NARROWEST)):
            paper.line(" " * margin, faint(line))


def _where(event: Mapping[str, Any]) -> str:
    return f"{event['where']}  " if event["where"] else ""


def _who(event: Mapping[str, Any]) -> str:
    company, person = str(event.get("by", "")), str(event["who"])
    return f"{company} ({person})" if company and person and person != company else company or person


def _wrapped(text: str, width: int) -> list[str]:
    lines, line = [], ""
    for word in clean(text).split():
        if line and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines


def trace(call: Call, paper: Paper, found: Mapping[str, Any]) -> None:
    """Draw all we know of an item."""
    paper.title(call.say("Trace of {code}", code=found["code"]))
    _chain(call, paper, found["chain"])
    paper.line()
    if found["events"]:
        paper.line(faint(call.say("What happened")))
        events(call, paper, found["events"], of_several=True)
        paper.line()
    sealed = found["credentials"]
    if sealed:
        paper.line(faint(call.say("Who vouches for it")))
        statements(call, paper, sealed)
        paper.line()
    wrong = sum(not one["verifies"] for one in sealed)
    if wrong:
        words = call.say("{wrong} of {count} credentials do not verify", wrong=wrong, count=len(sealed))
        paper.line(bad("✗ "), words)
    elif sealed:
        paper.line(good("✓ "), call.say("all {count} credentials verify", count=len(sealed)))
    else:
        paper.line(faint(call.say("nothing is attested yet")))


def _chain(call: Call, paper: Paper, chain: Sequence[Mapping[str, Any]]) -> None:
    """Draw what came out of what as a tree, and under the last what became of it."""
    line = [link for link in chain if link["relation"] in {"", "part of"}]
    for depth, link in enumerate(line):
        _link(call, paper, link, depth)
    rest = [link for link in chain if link not in line]
    for link in rest:
        _link(call, paper, link, len(line), last=link is rest[-1])


def _link(call: Call, paper: Paper, link: Mapping[str, Any], depth: int, *, last: bool = True) -> None:
    branch = "  " + ("   " * (depth - 1) + ("└─ " if last else "├─ ") if depth else "")
    relation = call.say(link["relation"]) + " " if link["relation"] not in {"", "part of"} else ""
    place = call.say("position {position}", position=link["position"]) if link["position"] else ""
    mass = f"{link['mass_kg']} kg" if link["mass_kg"] else ""
    facts = ", ".join(part for part in (place, link["model"], link["chemistry"], mass) if part)
    code = loud(link["code"]) if link["asked_for"] else link["code"]
    paper.line(
        branch, faint(relation), call.term(link["kind"], "kind"), " ", code, f"  {facts}" if facts else "",
        faint(f"  {link['registrar']}"), Ink("  ◀", "cyan") if link["asked_for"] else "",
    )  # fmt: skip
