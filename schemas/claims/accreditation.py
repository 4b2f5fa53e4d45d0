"""Accreditation: who belongs to the ecosystem, and as what."""

from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, CompanyDid, CompanyName, Means, Roles


class Accreditation(Claim, ja="オーソリティが、会社をこれらの役割で会員と認める。"):
    """The authority admits a company in these roles."""

    did: CompanyDid
    name: CompanyName
    roles: Roles
    framework: Annotated[
        str,
        Means("The name and version of the governance framework.", "ガバナンスフレームワークの名称と版。"),
    ] = Field(title="Framework")
