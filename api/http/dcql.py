"""A lender's credential query on the wire: the part of DCQL that this service asks wallets."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.wire import CredentialTypeName, W3cTypeName

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
QueryName = Annotated[Identifier, Field(description="The name under which it is answered; no two may be the same.")]
ClaimName = Annotated[Identifier | None, Field(description="A name for `claim_sets`, where there are any.")]
PathStep = Annotated[str, Field(min_length=1, max_length=64)]
Multiple = Annotated[bool, Field(description="Whether several credentials may answer.")]
CLAIMS = Field(min_length=1, max_length=64, description="What the holder is asked to disclose, and no more than that.")
ClaimSets = Annotated[
    list[list[Identifier]] | None,
    Field(min_length=1, max_length=16, description="Sets of claims, any of which answers, preferred first."),
]


class Strict(BaseModel):
    """A body in which nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SdJwtClaimsQueryBody(Strict):
    """A claim of an SD-JWT VC that is asked for (OpenID4VP 1.0, section 6.3)."""

    id: ClaimName = None
    path: list[PathStep] = Field(min_length=1, max_length=2, description="The name of the claim.")


class W3cClaimsQueryBody(Strict):
    """A claim of a W3C credential that is asked for (OpenID4VP 1.0, section 6.3)."""

    id: ClaimName = None
    # JSON has no tuples, so a strict one would take no list.
    path: tuple[Literal["credentialSubject"], PathStep] = Field(
        strict=False,
        description="The name of the claim, after the member that holds it in the credential itself.",
        json_schema_extra={"items": {"type": "string"}},
    )


class SdJwtMetaBody(Strict):
    """Which credential types answer (OpenID4VP 1.0, appendix B.3.5)."""

    vct_values: list[CredentialTypeName] = Field(
        min_length=1, max_length=9, description="Credential types, any of which answers."
    )


class W3cMetaBody(Strict):
    """Which credential types answer (OpenID4VP 1.0, appendix B.1.1)."""

    type_values: list[Annotated[list[W3cTypeName], Field(min_length=1, max_length=4)]] = Field(
        min_length=1, max_length=9, description="Sets of W3C types; a credential of all of a set answers."
    )


class SdJwtQueryBody(Strict):
    """An SD-JWT VC that is asked for (OpenID4VP 1.0, section 6.1)."""

    id: QueryName
    format: Literal["dc+sd-jwt"] = Field(description="SD-JWT VC.")
    meta: SdJwtMetaBody
    multiple: Multiple = False
    claims: Annotated[list[SdJwtClaimsQueryBody], CLAIMS]
    claim_sets: ClaimSets = None


class W3cQueryBody(Strict):
    """A W3C credential that is asked for (OpenID4VP 1.0, section 6.1)."""

    id: QueryName
    format: Literal["jwt_vc_json", "ldp_vc"] = Field(description="VC-JWT, or Data Integrity.")
    meta: W3cMetaBody
    multiple: Multiple = False
    claims: Annotated[list[W3cClaimsQueryBody], CLAIMS]
    claim_sets: ClaimSets = None


CredentialQueryBody = Annotated[SdJwtQueryBody | W3cQueryBody, Field(discriminator="format")]


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
