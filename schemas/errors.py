"""The one error tree; each edge maps it once.

Fault
├── Invalid      the input itself is wrong           REST 422   CLI 2   DIDComm "malformed"
├── Unknown      there is no such thing here         REST 404   CLI 3   DIDComm "unknown"
├── Misstep      right thing, wrong time or side     REST 409   CLI 4   DIDComm "out-of-step"
├── Forbidden    you may not                         REST 403   CLI 5   DIDComm "forbidden"
└── Unavailable  not now; try again later            REST 503   CLI 6   DIDComm "unavailable"

Where an edge must answer more finely it has a subclass with a code of its own: `too-large` and `not-json` are
Invalid, `unidentified` is Forbidden, `too-many-tries` is Unavailable.
"""

from typing import ClassVar


class Fault(Exception):
    """Something a person can be told: a template in English and the values that fill it.

    The template, not the filled text, is the key of the translation catalogue.
    """

    code: ClassVar[str] = "fault"

    def __init__(self, template: str, /, **values: object) -> None:
        self.template = template
        self.values = values
        super().__init__(template.format(**values) if values else template)


class Invalid(Fault):
    """The input itself is wrong."""

    code = "malformed"


class Unknown(Fault):
    """There is no such thing here."""

    code = "unknown"


class Misstep(Fault):
    """A message or action came from the wrong side or at the wrong time."""

    code = "out-of-step"


class Forbidden(Fault):
    """Whoever asks may not."""

    code = "forbidden"


class Unavailable(Fault):
    """It cannot be done now, though it may be later."""

    code = "unavailable"
