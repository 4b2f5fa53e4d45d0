"""How people name an exchange: by its thread or how that begins, by an item's code, or by the company."""

from uuid import UUID

from agents.cli.call import Call
from schemas.errors import Invalid, Unknown


def thread(call: Call, text: str, protocol: str | None = None) -> str:
    """Return the thread of the one exchange that is meant; where several fit, the one still going on."""
    try:
        return str(UUID(text))
    except ValueError:
        pass
    wanted = text.strip().lower()
    found = [
        dealing
        for dealing in call.client.get("/exchanges", protocol=protocol, limit=500)
        if wanted
        and (
            dealing["thread"].startswith(wanted)
            or wanted in {dealing["about"].lower(), dealing["peer"]["name"].lower(), dealing["peer"]["did"]}
        )
    ]
    going = [dealing for dealing in found if not dealing["ended"]] or found
    if len(going) > 1:
        raise Invalid(
            "“{text}” may stand for {count} exchanges; give more of the thread", text=text, count=len(going)
        )
    if not going:
        raise Unknown("there is no exchange “{thread}” here", thread=text[:60])
    return str(going[0]["thread"])
