"""What a verification answers: each check, its outcome and its evidence, never a bare yes or no."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import Fault

_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: a sentence to translate, and what fills it.

    `words` is a template in English (the key of the translation catalogue), `evidence` what was found.
    """

    name: str
    passed: bool
    words: str
    evidence: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.words.format_map(self.evidence)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at, in order, and whether all of it held."""

    checks: tuple[Check, ...]
    author: str | None = None
    """The issuer or holder, as the document names it; believe it only where `verified`."""
    signers: tuple[str, ...] = ()
    """Whose signatures were right."""
    credentials: tuple["Report", ...] = ()
    """The reports of the credentials in a presentation."""
    document: Mapping[str, Any] | None = None
    """What was sealed, without the seal and with what was disclosed; believe it only where `verified`."""

    @property
    def verified(self) -> bool:
        """Whether every check passed, those of the presented credentials too."""
        return (
            bool(self.checks)
            and all(check.passed for check in self.checks)
            and all(report.verified for report in self.credentials)
        )

    @property
    def refusals(self) -> tuple[Check, ...]:
        """The checks that failed, those of the presented credentials too."""
        own = tuple(check for check in self.checks if not check.passed)
        return own + tuple(check for report in self.credentials for check in report.refusals)

    @property
    def reason(self) -> str:
        """Why it is refused, in one sentence; empty where it is verified."""
        return str(self.refusals[0]) if self.refusals else ""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "verified": self.verified,
            "author": self.author,
            "signers": list(self.signers),
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "words": str(check),
                    "evidence": dict(check.evidence),
                }
                for check in self.checks
            ],
            "credentials": [report.as_json() for report in self.credentials],
        }


@dataclass(slots=True)
class Findings:
    """A report while it is being written; `words` says what each check says when it passes."""

    words: Mapping[str, str]
    checks: list[Check] = field(default_factory=list)
    credentials: list[Report] = field(default_factory=list)
    signers: list[str] = field(default_factory=list)
    author: str | None = None
    document: Mapping[str, Any] | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    """What the checks that follow are about, such as the number of a proof."""

    def ask[**P, T](self, name: str, judge: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Note what a judge says: it returns what it found, or raises a Fault with the reason."""
        try:
            found = judge(*args, **kwargs)
        except Fault as reason:
            self.refuse(name, reason)
            return None
        self.hold(name)
        return found

    def hold(self, name: str) -> None:
        """Note that a check passed."""
        self.checks.append(Check(name, True, self.words[name], dict(self.about)))

    def refuse(self, name: str, reason: Fault) -> None:
        """Note that a check failed, and why."""
        evidence = dict(self.about) | {key: shown(value) for key, value in reason.values.items()}
        self.checks.append(Check(name, False, reason.template, evidence))

    def report(self) -> Report:
        """Return what was found."""
        return Report(
            tuple(self.checks), self.author, tuple(self.signers), tuple(self.credentials), self.document
        )


def shown(value: object) -> str:
    """Show a found value safely: short, printable, and without looking inside."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return "a list" if isinstance(value, list | tuple) else "an object"
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
