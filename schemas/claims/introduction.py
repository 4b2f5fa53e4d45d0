"""Introduction: which company is at the other end."""

from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, CompanyDid, Means


class Introduction(Claim, ja="発行者は、この接続の相手方の会社である。"):
    """The issuer is the company at the other end of this connection."""

    did: CompanyDid
    connection_did: Annotated[
        str,
        Means(
            "The identifier that the company uses on this one connection.",
            "会社がこの接続だけに用いる識別子。",
        ),
    ] = Field(title="DID of the connection")
