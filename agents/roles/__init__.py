"""Every role a company can play, by the name the governance framework gives it."""

from collections.abc import Iterable

from agents.role import Play, Role
from agents.roles.authority import AUTHORITY
from agents.roles.collector import COLLECTOR
from agents.roles.common import COMMON
from agents.roles.dismantler import DISMANTLER
from agents.roles.recycler import RECYCLER
from agents.roles.reuse_manufacturer import REUSE_MANUFACTURER
from schemas.errors import Invalid

ROLES: dict[str, Role] = {
    role.name: role for role in (DISMANTLER, COLLECTOR, REUSE_MANUFACTURER, RECYCLER, AUTHORITY)
}


def play(names: Iterable[str]) -> Play:
    """Return the roles of these names, with what every company does, as one."""
    names = tuple(names)
    for name in names:
        if name not in ROLES:
            raise Invalid("there is no role “{name}”; there are {names}", name=name, names=", ".join(ROLES))
    return Play((COMMON, *(ROLES[name] for name in names)))
