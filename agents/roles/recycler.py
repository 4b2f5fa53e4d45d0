"""The recycler takes items in for their materials."""

from decimal import Decimal

from pydantic import Field

from agents.role import Action, Case, Effect, Role
from agents.roles.collector import StoreForm, store_items
from agents.roles.deliveries import RECEIVER
from agents.roles.life import Form, happened, known
from schemas.items import Code


class RecycleForm(Form):
    """What was treated, and what came of it."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=2000, title="Items")
    result: str = Field(min_length=1, max_length=400, title="Result")
    black_mass_kg: Decimal | None = Field(default=None, ge=0, le=100_000, title="Black mass (kg)")


def recycle_items(form: RecycleForm, case: Case) -> list[Effect]:
    """Note that items were recycled."""
    known(case.books, form.items)
    details = {
        "result": form.result,
        "black_mass_kg": str(form.black_mass_kg) if form.black_mass_kg is not None else None,
    }
    return [happened(case, code, "recycled", details=details) for code in form.items]


RECYCLER = Role(
    "recycler",
    actions=(
        *RECEIVER.actions,
        Action("store-items", "Store items", StoreForm, store_items),
        Action("recycle-items", "Recycle items", RecycleForm, recycle_items),
    ),
    duties=RECEIVER.duties,
)
