"""The reuse manufacturer buys cells, builds products, forecasts their life and has the forecast audited."""

from pydantic import Field

from agents.role import Action, Case, Effect, Issue, Role
from agents.roles.collector import GradeForm, StoreForm, grade_items, store_items
from agents.roles.deliveries import RECEIVER, SUPPLIER
from agents.roles.diagnosis import DIAGNOSIS, DUTIES
from agents.roles.life import Form, happened, known
from agents.roles.predictions import PREDICTOR
from agents.roles.sampling import SAMPLED_DUTIES
from schemas.claims import ItemIdentity
from schemas.errors import Invalid
from schemas.items import Code, mint


class BuildForm(Form):
    """A product made of items."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=2000, title="Items built in")
    model: str = Field(min_length=1, max_length=80, title="Product model")


def build_product(form: BuildForm, case: Case) -> list[Effect]:
    """Register a product and what it is made of."""
    known(case.books, form.items)
    if len(set(form.items)) < len(form.items):
        raise Invalid("an item is named twice")
    code = mint("product")
    identity = ItemIdentity(item=code, kind="product", made_of=form.items, model=form.model)
    return [
        Issue(identity, code),
        happened(case, code, "registered", details={"model": form.model}),
        *(
            happened(case, item, "built-in", details={"product": code, "position": str(place)})
            for place, item in enumerate(form.items, 1)
        ),
    ]


REUSE_MANUFACTURER = Role(
    "reuse-manufacturer",
    actions=(
        *RECEIVER.actions,
        *SUPPLIER.actions,
        Action("store-items", "Store items", StoreForm, store_items),
        *DIAGNOSIS,
        Action("grade-items", "Grade items", GradeForm, grade_items),
        Action("build-product", "Build a product", BuildForm, build_product),
        *PREDICTOR.actions,
    ),
    duties=(*RECEIVER.duties, *SUPPLIER.duties, *DUTIES, *SAMPLED_DUTIES),
)
