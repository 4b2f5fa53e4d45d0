"""Governance framework: the rules that everyone here goes by, from a day on."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from schemas.claim import Claim, CompanyDid, Means, VersionNumber


class GovernanceFramework(Claim, ja="この日からこの規則が適用される。オーソリティが定める。"):
    """From this day on these rules hold; the authority sets them."""

    did: CompanyDid
    version: VersionNumber = Field(ge=1, title="Version of the framework")
    holds_from: Annotated[
        AwareDatetime,
        Means(
            "When these rules begin to hold; what was said before is judged by those before.",
            "この規則が適用され始める時刻。それより前に述べられたことは前の規則で判断する。",
        ),
    ] = Field(title="Holds from")
    rules: Annotated[
        dict[str, object],
        Means(
            "The rules: roles, who may state and see what, seals, methods, contracts, grades.",
            "規則の全体。役割、誰が何を表明し閲覧できるか、封印の方式、方法、契約、等級など。",
        ),
    ] = Field(title="Rules")
