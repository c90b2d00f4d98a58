"""OpenID4VCI 1.0 on the wire: the specification's examples first, then every way to be wrong."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import errors
from identity.credential_types.types import load_credential_types
from identity.encoding import parse_json
from identity.errors import IdentityError
from identity.openid4vci import (
    MAX_BATCH,
    PRE_AUTHORIZED_CODE,
    CredentialRequest,
    build_authorization_server_metadata,
    build_credential_configuration,
    build_credential_offer,
    build_issuer_metadata,
    describe_claims,
    offer_link,
    parse_authorization_details,
    parse_credential_configurations,
    parse_credential_offer,
    parse_credential_request,
    parse_issuer_metadata,
    parse_offer_link,
    well_known_url,
)

ISSUER = "https://credential-issuer.example.com"
EXAMPLES = "vectors/openid4vci-1.0/1.0/examples"

#: Every example that a part of ours reads: the reader, and for those that are refused the rule behind it.
#: tests/vectors builds the table of docs/ from this.
VECTORS = {
    "credential_offer_pre-authz_code.json": ("offer", None),
    "credential_offer_multiple_credentials.json": ("offer", None),
    "credential_offer_by_reference.json": ("offer", None),
    "credential_offer_authz_code.txt": ("offer", "the authorization code flow is not offered or taken"),
    "credential_issuer_metadata_sd_jwt_long.json": ("metadata", None),
    "credential_metadata_sd_jwt_vc.json": ("configurations", None),
    "credential_metadata_jwt_vc_json.json": ("configurations", None),
    "credential_metadata_ldp_vc.json": ("configurations", None),
    "credential_metadata_mso_mdoc.json": ("configurations", None),
    "authorization_details.json": ("details", None),
    "authorization_details_sd_jwt_vc.json": ("details", None),
    "authorization_details_jwt_vc_json.json": ("details", None),
    "authorization_details_ldp_vc.json": ("details", None),
    "authorization_details_mso_doc.json": ("details", None),
    "authorization_details_with_as.json": ("details", None),
    "authorization_details_multiple_credentials.json": ("details", "an offer of ours is for one configuration"),
    "credential_request_iso_mdl.json": ("request", "it names neither a configuration nor an identifier (section 8.2)"),
}
#: Examples of what we do not read: responses of other formats, attestations, key sets of signed metadata.
NOT_READ = {
    "credential_response_ldp_vc.txt",
    "credential_response_jwt_vc_json.txt",
    "credential_response_mso_mdoc.txt",
    "credential_response_sd_jwt_vc.txt",
    "credential_issuer_metadata_sd_jwt_jwt.txt",
    "wallet_attestation.jwt.txt",
    "issuer_jwks.json",
}


def read_example(kind, text):
    if kind == "offer":
        return parse_credential_offer(text)
    if kind == "metadata":
        return parse_issuer_metadata(text, credential_issuer=ISSUER)
    if kind == "request":
        return parse_credential_request(text)
    value = parse_json(text)
    if kind == "configurations":
        return parse_credential_configurations(value["credential_configurations_supported"])
    return parse_authorization_details(
        value, credential_issuer=ISSUER, configuration_id=value[0]["credential_configuration_id"]
    )


@pytest.mark.parametrize("name", VECTORS)
def test_the_specifications_examples_are_read_or_refused_by_a_rule(test_data, name):
    kind, rule = VECTORS[name]
    if name.endswith(".json"):
        text = (test_data / EXAMPLES / name).read_text()
    else:
        texts = json.loads((test_data / "vectors/openid4vci-1.0/_texts.json").read_text())
        text = texts[f"1.0/examples/{name}"].partition("\n\n")[2]
    if rule is None:
        assert read_example(kind, text)
        return
    with pytest.raises(IdentityError):
        read_example(kind, text)


def test_no_example_is_passed_over(test_data):
    names = {path.name for path in (test_data / EXAMPLES).iterdir()}
    texts = json.loads((test_data / "vectors/openid4vci-1.0/_texts.json").read_text())
    names |= {name.rpartition("/")[2] for name in texts}
    assert names - NOT_READ == set(VECTORS)


def test_the_examples_are_read_as_they_mean(test_data):
    def read(name):
        return read_example(VECTORS[name][0], (test_data / EXAMPLES / name).read_text())

    offer = read("credential_offer_pre-authz_code.json")
    assert (offer.pre_authorized_code, offer.wants_tx_code) == ("adhjhdjajkdkhjhdj", True)
    metadata = read("credential_issuer_metadata_sd_jwt_long.json")
    assert (metadata.batch_size, metadata.encryption_required) == (10, True)
    assert metadata.nonce_endpoint == ISSUER + "/nonce"
    (configuration,) = metadata.configurations.values()
    assert (configuration.vct, configuration.needs_key_attestation) == ("SD_JWT_VC_example_in_OpenID4VCI", True)
    assert ("address", "locality") in configuration.claim_paths
    (mdoc,) = read("credential_metadata_mso_mdoc.json").values()
    assert (mdoc.format, mdoc.vct) == ("mso_mdoc", None)


def metadata_of_ours():
    configurations = {
        each.name: build_credential_configuration(
            vct=each.vct, title=each.schema["title"], claims=describe_claims(each), algorithm="ES256"
        )
        for each in load_credential_types().values()
    }
    return build_issuer_metadata(ISSUER, configurations)


def test_our_metadata_is_read_by_a_wallet_of_ours():
    read = parse_issuer_metadata(json.dumps(metadata_of_ours()), credential_issuer=ISSUER)
    assert (read.batch_size, read.nonce_endpoint, read.authorization_servers) == (16, f"{ISSUER}/nonce", (ISSUER,))
    assert len(read.configurations) == 9
    for type in load_credential_types().values():
        configuration = read.configurations[type.name]
        assert (configuration.format, configuration.vct) == ("dc+sd-jwt", type.vct)
        assert configuration.claim_paths == tuple((name,) for name in type.claim_names)
        assert {"ES256", "EdDSA"} <= set(configuration.proof_algorithms)


def test_our_metadata_says_which_claims_every_credential_has():
    described = metadata_of_ours()["credential_configurations_supported"]["mobile-money"]["credential_metadata"]
    assert described["display"] == [{"name": "Mobile-money statement", "locale": "en"}]
    mandatory = {each["path"][0] for each in described["claims"] if each["mandatory"]}
    assert mandatory == set(load_credential_types()["urn:credence:mobile-money:1"].schema["required"])


def test_the_authorization_server_takes_one_grant_of_anybody():
    metadata = build_authorization_server_metadata(ISSUER)
    assert metadata["issuer"] == ISSUER
    assert metadata["grant_types_supported"] == [PRE_AUTHORIZED_CODE]
    assert metadata["pre-authorized_grant_anonymous_access_supported"] is True


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://a.example", "https://a.example/.well-known/openid-credential-issuer"),
        ("https://a.example/", "https://a.example/.well-known/openid-credential-issuer"),
        ("https://a.example:8443/v1/x", "https://a.example:8443/.well-known/openid-credential-issuer/v1/x"),
        ("http://127.0.0.1:8700/v1/x", "http://127.0.0.1:8700/.well-known/openid-credential-issuer/v1/x"),
    ],
)
def test_metadata_lies_between_host_and_path(issuer, url):
    assert well_known_url(issuer, "openid-credential-issuer") == url


@pytest.mark.parametrize(
    "issuer", ["", "a.example", "ftp://a.example", "https://", "https://a?b", "https://a#b", "http://["]
)
def test_an_issuer_that_is_no_url_has_no_metadata(issuer):
    with pytest.raises(errors.CredentialOfferInvalid):
        well_known_url(issuer, "openid-credential-issuer")


def test_an_offer_and_its_link_come_back_as_they_were():
    offer = parse_credential_offer(
        json.dumps(
            build_credential_offer(credential_issuer=ISSUER, configuration_id="score", code="c", tx_code_length=6)
        )
    )
    assert (offer.configuration_ids, offer.pre_authorized_code, offer.wants_tx_code) == (("score",), "c", True)
    uri = f"{ISSUER}/v1/credential-offers/off_1/offer?a=b&c"
    link = offer_link(uri)
    assert link.startswith("openid-credential-offer://?credential_offer_uri=https%3A%2F%2F")
    assert parse_offer_link(link) == uri


OFFER = build_credential_offer(credential_issuer=ISSUER, configuration_id="a", code="c", tx_code_length=None)
GRANT = OFFER["grants"][PRE_AUTHORIZED_CODE]


@pytest.mark.parametrize(
    "offer",
    [
        "nothing",
        [],
        {},
        OFFER | {"credential_issuer": 1},
        OFFER | {"credential_issuer": ""},
        OFFER | {"credential_configuration_ids": []},
        OFFER | {"credential_configuration_ids": ["a", "a"]},
        OFFER | {"credential_configuration_ids": [1]},
        OFFER | {"credential_configuration_ids": "a"},
        OFFER | {"grants": {}},
        OFFER | {"grants": {PRE_AUTHORIZED_CODE: "c"}},
        OFFER | {"grants": {PRE_AUTHORIZED_CODE: {}}},
        OFFER | {"grants": {PRE_AUTHORIZED_CODE: GRANT | {"tx_code": True}}},
        OFFER | {"grants": {PRE_AUTHORIZED_CODE: GRANT | {"pre-authorized_code": "c" * 5_000}}},
    ],
)
def test_what_is_no_offer_is_refused(offer):
    with pytest.raises(errors.CredentialOfferInvalid):
        parse_credential_offer(json.dumps(offer))


@pytest.mark.parametrize(
    "link",
    [
        "https://a.example/?credential_offer_uri=https://a",
        "openid-credential-offer://?credential_offer=%7B%7D",
        "openid-credential-offer://?credential_offer_uri=a&credential_offer_uri=b",
        "openid-credential-offer://?credential_offer_uri=a&more=b",
        "openid-credential-offer://",
        "openid-credential-offer://[?credential_offer_uri=https://a",
    ],
)
def test_what_is_no_link_to_an_offer_is_refused(link):
    with pytest.raises(errors.CredentialOfferInvalid):
        parse_offer_link(link)


@pytest.mark.parametrize(
    "changes",
    [
        {"credential_issuer": ISSUER + "/other"},
        {"credential_endpoint": None},
        {"nonce_endpoint": 1},
        {"batch_credential_issuance": {"batch_size": 0}},
        {"batch_credential_issuance": {"batch_size": True}},
        {"batch_credential_issuance": 3},
        {"authorization_servers": ISSUER},
        {"credential_configurations_supported": []},
        {"credential_configurations_supported": {"a": {}}},
        {"credential_configurations_supported": {"a": {"format": "dc+sd-jwt"}}},
        {"credential_configurations_supported": {"a": {"format": "x", "credential_metadata": {"claims": [{}]}}}},
        {"credential_configurations_supported": {str(n): {"format": "x"} for n in range(257)}},
    ],
)
def test_what_is_not_the_issuers_metadata_is_refused(changes):
    with pytest.raises(errors.IssuerMetadataInvalid):
        parse_issuer_metadata(json.dumps(metadata_of_ours() | changes), credential_issuer=ISSUER)


def details(**changes):
    return [{"type": "openid_credential", "credential_configuration_id": "a"} | changes]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({}, errors.CredentialRequestInvalid),
        ([], errors.CredentialRequestInvalid),
        (["a"], errors.CredentialRequestInvalid),
        (details(type="other"), errors.CredentialRequestInvalid),
        (details(locations=["https://other.example"]), errors.CredentialRequestInvalid),
        (details(claims=[{}]), errors.CredentialRequestInvalid),
        (details(claims=[{"path": []}]), errors.CredentialRequestInvalid),
        (details(credential_configuration_id=1), errors.CredentialRequestInvalid),
        (details() * (MAX_BATCH + 1), errors.CredentialRequestInvalid),
        (details(credential_configuration_id="b"), errors.UnknownCredentialConfiguration),
    ],
)
def test_authorization_details_of_anything_else_are_refused(value, error):
    with pytest.raises(error):
        parse_authorization_details(value, credential_issuer=ISSUER, configuration_id="a")


def test_authorization_details_are_answered_with_an_identifier():
    (answered,) = parse_authorization_details(details(), credential_issuer=ISSUER, configuration_id="a")
    assert answered["credential_identifiers"] == ["a"]


REQUEST = {"credential_configuration_id": "a", "proofs": {"jwt": ["a.b.c"]}}


def test_a_credential_request_names_its_configuration_and_brings_proofs():
    assert parse_credential_request(json.dumps(REQUEST)) == CredentialRequest(
        configuration_id="a", identifier=None, proofs=("a.b.c",)
    )


def without(name, **more):
    return {member: value for member, value in REQUEST.items() if member != name} | more


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (without("credential_configuration_id"), errors.CredentialRequestInvalid),
        (REQUEST | {"credential_identifier": "a"}, errors.CredentialRequestInvalid),
        (REQUEST | {"credential_configuration_id": 1}, errors.CredentialRequestInvalid),
        (REQUEST | {"credential_configuration_id": ""}, errors.CredentialRequestInvalid),
        (REQUEST | {"credential_response_encryption": {}}, errors.ResponseEncryptionNotOffered),
        (without("proofs"), errors.KeyProofMissing),
        (without("proofs", proof={"proof_type": "jwt", "jwt": "a.b.c"}), errors.CredentialRequestInvalid),
        (REQUEST | {"proofs": {}}, errors.CredentialRequestInvalid),
        (REQUEST | {"proofs": {"jwt": []}}, errors.KeyProofMissing),
        (REQUEST | {"proofs": {"jwt": "a.b.c"}}, errors.CredentialRequestInvalid),
        (REQUEST | {"proofs": {"jwt": [1]}}, errors.CredentialRequestInvalid),
        (REQUEST | {"proofs": {"jwt": ["a"], "di_vp": []}}, errors.CredentialRequestInvalid),
        (REQUEST | {"proofs": {"di_vp": [{}]}}, errors.ProofTypeNotSupported),
        (REQUEST | {"proofs": {"jwt": ["a"] * (MAX_BATCH + 1)}}, errors.TooManyKeyProofs),
        ([], errors.BadJson),
    ],
)
def test_what_is_no_credential_request_is_refused(request_, error):
    with pytest.raises(IdentityError) as refused:
        parse_credential_request(json.dumps(request_))
    assert type(refused.value) is error


@pytest.mark.parametrize(
    ("asked", "by_identifier", "error"),
    [
        ({"configuration_id": "a", "identifier": None}, False, None),
        ({"configuration_id": None, "identifier": "a"}, True, None),
        ({"configuration_id": "b", "identifier": None}, False, errors.UnknownCredentialConfiguration),
        ({"configuration_id": "a", "identifier": None}, True, errors.UnknownCredentialConfiguration),
        ({"configuration_id": None, "identifier": "a"}, False, errors.UnknownCredentialIdentifier),
        ({"configuration_id": None, "identifier": "b"}, True, errors.UnknownCredentialIdentifier),
    ],
)
def test_a_request_is_for_what_was_offered_by_the_name_that_was_given(asked, by_identifier, error):
    request = CredentialRequest(**asked, proofs=("a",))
    if error is None:
        request.verify_asks_for("a", by_identifier=by_identifier)
    else:
        with pytest.raises(error):
            request.verify_asks_for("a", by_identifier=by_identifier)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([OFFER, metadata_of_ours(), REQUEST, {}]), st.data())
def test_only_our_errors_escape(value, document, data):
    if document:
        document = document | {data.draw(st.sampled_from(sorted(document))): value}
    text = json.dumps(document or value)
    for read in (
        parse_credential_offer,
        parse_credential_request,
        lambda text: parse_issuer_metadata(text, credential_issuer=ISSUER),
        lambda text: parse_authorization_details(json.loads(text), credential_issuer=ISSUER, configuration_id="a"),
    ):
        with suppress(IdentityError):
            read(text)
