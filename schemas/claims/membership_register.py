"""Register of members: who belongs, as what, in which standing."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.claim import Claim, CompanyDid, CompanyName, Means, Roles, VersionNumber


class Member(BaseModel):
    """One company in the register."""

    model_config = ConfigDict(frozen=True)
    did: CompanyDid
    name: CompanyName
    roles: Roles
    status: Annotated[
        Literal["accredited", "suspended", "withdrawn", "resigned"],
        Means("How the membership stands.", "会員資格の状態。"),
    ] = Field(title="Standing")
    since: Annotated[AwareDatetime, Means("Since when that is so.", "その状態になった時刻。")] = Field(
        title="Since"
    )


class MembershipRegister(Claim, ja="どの会社が、どの役割と状態の会員か。誰が誰と取引するかは載らない。"):
    """Who is a member, in which roles and standing; it says nothing of who deals with whom."""

    did: CompanyDid
    version: VersionNumber = Field(title="Version of the register")
    members: Annotated[tuple[Member, ...], Means("The members.", "会員。")] = Field(title="Members")
