"""What the Trust Registry Query Protocol 2 is answered: from the framework and the register alone.

Both are public among members and outsiders alike, so an answer tells nothing of anybody's deals. Members ask
their own copies instead of the authority, which would learn from the question who deals with whom.

Actions: `issue` a claim type, `act-as` a role, `take-side` as in `delivery/1.0/supplier`, `see` a claim type
or one field of it as in `VehicleHistory.findings`, with `purpose` and `contract` in the context.
"""

from collections.abc import Iterable, Mapping

from governance.framework import ANY, Framework

ACTIONS = ("issue", "act-as", "take-side", "see")


def authorised(
    framework: Framework,
    roles: Iterable[str],
    standing: str,
    action: str,
    resource: str,
    context: Mapping[str, str],
) -> tuple[bool, str]:
    """Return whether a company in these roles and this standing may do an action, and why (not)."""
    roles = tuple(roles)
    if not roles:
        return False, "The entity is not a member."
    if not framework.may_deal(standing):
        return False, f"The entity is no member in good standing: {standing}."
    if action not in ACTIONS:
        return False, f"There is no such action; there are {', '.join(ACTIONS)}."
    allowed = [role for role in roles if _may(framework, role, action, resource, context)]
    if not allowed:
        return False, f"{framework.title} does not allow this to {', '.join(roles)}."
    return True, f"{framework.title} allows this to {allowed[0]}."


def _may(framework: Framework, role: str, action: str, resource: str, context: Mapping[str, str]) -> bool:
    match action:
        case "issue":
            return framework.may_issue(role, resource)
        case "act-as":
            return role == resource
        case "take-side":
            protocol, _, side = resource.rpartition("/")
            return framework.may_play(role, protocol, side)
        case _:
            type_, _, field = resource.partition(".")
            terms = context.get("purpose", ""), context.get("contract", "")
            return framework.may_see(role, type_, field, *terms)


def recognised(
    framework: Framework, authority: str, entity: str, action: str, resource: str
) -> tuple[bool, str]:
    """Return whether the word of another authority is taken on an action and resource, and why (not)."""
    if entity == authority:
        return True, "The entity is this authority."
    for one in framework.rules.recognised:
        if one.did == entity and _of(action, one.actions) and _of(resource, one.resources):
            return True, f"{framework.title} recognises the entity for this."
    return False, f"{framework.title} does not recognise the entity for this."


def _of(name: str, names: Iterable[str]) -> bool:
    names = tuple(names)
    return name in names or ANY in names
