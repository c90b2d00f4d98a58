"""A lender's credential query on the wire: the part of DCQL that this service asks wallets."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.http.wire import CredentialTypeName, W3cTypeName
from identity.credential import CredentialFormat

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Strict(BaseModel):
    """A body in which nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ClaimsQueryBody(Strict):
    """A claim that is asked for (OpenID4VP 1.0, section 6.3)."""

    id: Identifier | None = Field(default=None, description="A name for `claim_sets`, where there are any.")
    path: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        min_length=1,
        max_length=2,
        description="The name of the claim; in a W3C format after `credentialSubject`, as in the credential itself.",
    )


class MetaBody(Strict):
    """Which credential types answer: `vct_values` for `dc+sd-jwt`, `type_values` for the W3C formats."""

    vct_values: list[CredentialTypeName] | None = Field(
        default=None, min_length=1, max_length=9, description="Credential types, any of which answers."
    )
    type_values: list[Annotated[list[W3cTypeName], Field(min_length=1, max_length=4)]] | None = Field(
        default=None, min_length=1, max_length=9, description="Sets of W3C types; a credential of all of a set answers."
    )


class CredentialQueryBody(Strict):
    """A credential that is asked for (OpenID4VP 1.0, section 6.1)."""

    id: Identifier = Field(description="The name under which it is answered; no two may be the same.")
    format: CredentialFormat = Field(description="The format of the credential: SD-JWT VC, VC-JWT, or Data Integrity.")
    meta: MetaBody
    multiple: bool = Field(default=False, description="Whether several credentials may answer.")
    claims: list[ClaimsQueryBody] = Field(
        min_length=1, max_length=64, description="What the holder is asked to disclose, and no more than that."
    )
    claim_sets: list[list[Identifier]] | None = Field(
        default=None, min_length=1, max_length=16, description="Sets of claims, any of which answers, preferred first."
    )


class CredentialSetBody(Strict):
    """Which of the credentials are needed together (OpenID4VP 1.0, section 6.2)."""

    options: list[Annotated[list[Identifier], Field(min_length=1, max_length=16)]] = Field(
        min_length=1, max_length=16, description="Sets of credentials, any of which answers, preferred first."
    )
    required: bool = Field(default=True, description="Whether the holder must answer it.")


class DcqlQueryBody(Strict):
    """A credential query in DCQL (OpenID4VP 1.0, section 6)."""

    credentials: list[CredentialQueryBody] = Field(
        min_length=1, max_length=16, description="All of them are needed, unless `credential_sets` says otherwise."
    )
    credential_sets: list[CredentialSetBody] | None = Field(
        default=None, min_length=1, max_length=16, description="Which are needed together; must name every one."
    )
