"""What a company does with the credentials it has issued: revoke, suspend, reinstate, issue anew."""

from pydantic import Field

from agents.role import Action, Case, Effect, Held, Issue, Mark
from agents.roles.life import Form
from schemas.claims import CLAIMS
from schemas.errors import Misstep, Unknown


class MarkForm(Form):
    """Which credential, and why."""

    credential: str = Field(min_length=1, max_length=400, title="Credential (its id)")
    reason: str = Field(
        min_length=1,
        max_length=1000,
        title="Reason",
        description="It stays in our books and is not published.",
    )


def _ours(form: MarkForm, case: Case) -> Held:
    held = case.books.credential(form.credential.strip())
    if held is None or held.source or held.issuer != case.books.company.did:
        raise Unknown("we issued no credential “{id}”", id=form.credential[:80])
    return held


def revoke_credential(form: MarkForm, case: Case) -> list[Effect]:
    """Revoke a credential of ours for good; everybody who holds it sees that it no longer holds."""
    return [Mark(_ours(form, case).id, "revoked", form.reason)]


def suspend_credential(form: MarkForm, case: Case) -> list[Effect]:
    """Suspend a credential of ours for a while."""
    return [Mark(_ours(form, case).id, "suspended", form.reason)]


def reinstate_credential(form: MarkForm, case: Case) -> list[Effect]:
    """Put a suspended credential of ours in force again."""
    return [Mark(_ours(form, case).id, "reinstated", form.reason)]


def refresh_credential(form: MarkForm, case: Case) -> list[Effect]:
    """State the same again in a new credential, and revoke the old one."""
    held = _ours(form, case)
    found = case.books.standing(held.id)
    if found is not None and found.what == "suspended":
        raise Misstep("the credential is suspended; reinstate it first, or revoke it")
    content = {name: value for name, value in held.claim.items() if name != "id"}
    again = Issue(CLAIMS[held.type].model_validate(content), str(held.claim["id"]))
    return [Mark(held.id, "revoked", form.reason, successor=again)]


MARKING = (
    Action("revoke-credential", "Revoke a statement", MarkForm, revoke_credential, rank="manager"),
    Action("suspend-credential", "Suspend a statement", MarkForm, suspend_credential, rank="manager"),
    Action("reinstate-credential", "Reinstate a statement", MarkForm, reinstate_credential, rank="manager"),
    Action("refresh-credential", "Issue a statement anew", MarkForm, refresh_credential, rank="manager"),
)
