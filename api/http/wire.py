"""How values that several routes show are written on the wire."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

Timestamp = Annotated[
    str,
    Field(
        description="RFC 3339, in UTC.",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-22T09:30:00.000Z"],
    ),
]
Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]
Sha256 = Annotated[
    str, Field(description="SHA-256 in lower-case hex.", json_schema_extra={"pattern": "^[0-9a-f]{64}$"})
]
Base64 = Annotated[str, Field(description="Base64 with padding.", json_schema_extra={"contentEncoding": "base64"})]
#: The types of identity/credential_types; a request for any other could never be answered.
CredentialTypeName = Literal[
    "urn:credence:agri-delivery:1",
    "urn:credence:airtime:1",
    "urn:credence:gig-income:1",
    "urn:credence:loan-outcome:1",
    "urn:credence:mobile-money:1",
    "urn:credence:recurring-bill:1",
    "urn:credence:remittance:1",
    "urn:credence:repayment-history:1",
    "urn:credence:savings-group:1",
]
#: Their W3C names, and the base type, as terms or fully expanded (OpenID4VP 1.0, appendix B.1.1).
W3cTypeName = Annotated[
    str,
    Field(
        pattern=r"^((https://www\.w3\.org/2018/credentials#)?VerifiableCredential"
        r"|(urn:credence:terms#)?(AgriDelivery|Airtime|GigIncome|LoanOutcome|MobileMoney|RecurringBill|Remittance"
        r"|RepaymentHistory|SavingsGroup)Credential)$"
    ),
]
#: The header that says how long an answer may be kept.
CACHED = {"Cache-Control": {"description": "How long the answer may be kept (RFC 9111).", "schema": {"type": "string"}}}


def location(description: str) -> dict[str, Any]:
    """OpenAPI's account of the header that names what a POST made."""
    return {"Location": {"description": description, "required": True, "schema": {"type": "string"}}}


def _whole(value: Any) -> Any:
    """JSON has one kind of number, in which 600.0 is an integer; strict validation would take 600 only."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: Of an integer in a body.
WHOLE = BeforeValidator(_whole)


def _decimal(value: Any) -> Any:
    """One number has one spelling, so that one resource has one URL: not 007, +7, 1_0 or with a space."""
    if isinstance(value, str) and str(int(value) if value.isdecimal() and len(value) < 20 else None) != value:
        raise PydanticCustomError("int_parsing", "not a decimal number")
    return value


#: Of an integer in a path or a query; stands after its bounds.
DECIMAL = BeforeValidator(_decimal)
