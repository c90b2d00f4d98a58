"""The 61 inputs to refuse (notes/identity.md, section 6): for each, the codes of its refusals and the tests of them."""

import ast
from functools import cache
from pathlib import Path

import pytest

from api import problems

ROOT = Path(__file__).resolve().parents[2]
I = "tests/identity/test_"  # noqa: E741
A = "tests/api/test_"

#: Number: the codes, and the tests as FILE::FUNCTION.
INPUTS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("alg_not_allowed", (f"{I}jws.py::test_input_01_alg_none_is_refused",)),
    2: ("alg_not_allowed", (f"{I}jws.py::test_input_02_hmac_and_every_other_algorithm_is_refused",)),
    3: ("alg_key_mismatch", (f"{I}jws.py::test_input_03_alg_of_another_key_type_is_refused",)),
    4: ("bad_signature_encoding", (f"{I}keys.py::test_input_04_der_or_other_lengths_are_refused",)),
    5: (
        "bad_signature bad_key",
        (
            f"{I}keys.py::test_input_05_zero_or_huge_signature_parts_are_refused",
            f"{I}keys.py::test_input_05_a_public_key_off_the_curve_or_of_another_kind_is_refused",
            f"{I}keys.py::test_input_05_wycheproof_p256_signatures",
            f"{I}keys.py::test_input_05_wycheproof_ed25519_signatures",
        ),
    ),
    6: ("unsupported_crit", (f"{I}jws.py::test_input_06_crit_and_b64_are_refused",)),
    7: ("key_source_not_allowed", (f"{I}jws.py::test_input_07_a_key_source_in_the_header_is_refused",)),
    8: ("bad_kid", (f"{I}jws.py::test_input_08_a_hostile_kid_is_refused",)),
    9: ("issuer_key_mismatch", (f"{I}sd_jwt.py::test_input_09_a_kid_of_another_did_than_iss_is_refused",)),
    10: ("bad_base64", (f"{I}encoding.py::test_input_10_padded_or_non_canonical_base64url_is_refused",)),
    11: ("json_duplicate_key", (f"{I}encoding.py::test_input_11_duplicate_member_is_refused",)),
    12: ("json_number", (f"{I}encoding.py::test_input_12_number_out_of_bounds_is_refused",)),
    13: ("json_depth", (f"{I}encoding.py::test_input_13_deep_json_is_refused",)),
    14: (
        "body_too_large too_large",
        (
            f"{A}requests.py::test_a_body_over_64_kib_is_refused",
            f"{I}jws.py::test_input_14_a_huge_jws_is_refused_before_it_is_read",
            f"{I}vc_jwt.py::test_14_a_credential_has_a_size",
        ),
    ),
    15: (
        "wrong_typ",
        (
            f"{I}sd_jwt.py::test_input_15_a_key_binding_is_no_credential",
            f"{I}openid4vp.py::test_15_a_credential_or_a_key_binding_is_no_request_object",
            f"{I}vc_jwt.py::test_15_a_presentation_is_no_credential_and_a_credential_no_presentation",
        ),
    ),
    16: ("private_key_in_jwk", (f"{I}sd_jwt.py::test_input_16_private_key_in_cnf_is_refused",)),
    17: ("expired", (f"{I}sd_jwt.py::test_input_17_an_expired_credential_is_refused",)),
    18: (
        "not_yet_valid issued_in_future",
        (
            f"{I}sd_jwt.py::test_input_18_a_credential_of_the_future_is_refused",
            f"{I}vc_jwt.py::test_17_to_20_and_39_times_and_contexts",
        ),
    ),
    19: ("bad_time", (f"{I}sd_jwt.py::test_input_19_a_time_that_is_no_time_is_refused",)),
    20: ("bad_time", (f"{I}vc_jwt.py::test_17_to_20_and_39_times_and_contexts",)),
    21: ("kb_stale", (f"{I}sd_jwt.py::test_input_21_an_old_key_binding_is_refused",)),
    22: ("duplicate_disclosure", (f"{I}sd_jwt.py::test_input_22_a_disclosure_given_twice_is_refused",)),
    23: ("disclosure_not_referenced", (f"{I}sd_jwt.py::test_input_23_a_disclosure_without_a_digest_is_refused",)),
    24: ("digest_repeated", (f"{I}sd_jwt.py::test_input_24_a_digest_that_stands_twice_is_refused",)),
    25: (
        "reserved_claim_name claim_collision",
        (
            f"{I}sd_jwt.py::test_input_25_a_reserved_claim_name_is_refused",
            f"{I}sd_jwt.py::test_input_25_a_claim_that_collides_is_refused",
        ),
    ),
    26: (
        "disclosure_misplaced bad_disclosure",
        (
            f"{I}sd_jwt.py::test_input_26_a_disclosure_in_the_wrong_place_is_refused",
            f"{I}sd_jwt.py::test_input_26_a_disclosure_of_another_shape_is_refused",
        ),
    ),
    27: ("sd_alg_not_allowed", (f"{I}sd_jwt.py::test_input_27_another_digest_algorithm_is_refused",)),
    28: ("reserved_claim_disclosed", (f"{I}sd_jwt.py::test_input_28_a_registered_claim_by_disclosure_is_refused",)),
    29: (
        "key_binding_missing holder_key_missing sd_hash_mismatch",
        (
            f"{I}sd_jwt.py::test_input_29_a_missing_key_binding_is_refused",
            f"{I}sd_jwt.py::test_input_29_a_key_binding_without_a_holder_key_is_refused",
            f"{I}sd_jwt.py::test_input_29_a_key_binding_for_other_disclosures_is_refused",
        ),
    ),
    30: (
        "too_many_disclosures disclosure_too_large",
        (f"{I}sd_jwt.py::test_input_30_too_many_or_too_large_disclosures_are_refused",),
    ),
    31: ("audience_mismatch", (f"{I}sd_jwt.py::test_input_31_a_key_binding_for_another_audience_is_refused",)),
    32: (
        "nonce_mismatch missing_claim",
        (
            f"{I}sd_jwt.py::test_input_32_a_key_binding_for_another_nonce_is_refused",
            f"{I}sd_jwt.py::test_input_32_a_nonce_that_is_no_text_is_refused",
        ),
    ),
    33: (
        "nonce_used",
        (
            f"{I}presentation.py::test_33_another_presentation_under_a_used_nonce",
            f"{I}presentation.py::test_33_the_same_presentation_again_finds_itself_there_at_any_time",
        ),
    ),
    34: ("state_mismatch response_uri_mismatch", (f"{I}presentation.py::test_34_an_answer_of_another_session",)),
    35: ("holder_mismatch", (f"{I}verifier.py::test_35_two_credentials_of_different_holders",)),
    36: (
        "unknown_query_id credential_missing",
        (
            f"{I}dcql.py::test_36_answers_to_queries_that_were_not_made",
            f"{I}dcql.py::test_36_a_required_answer_is_missing",
        ),
    ),
    37: (
        "client_id_mismatch",
        (
            f"{I}verifier.py::test_37_a_presentation_made_for_another_verifier",
            f"{A}presentations.py::test_37_a_presentation_for_another_client_identifier_of_ours_is_refused",
        ),
    ),
    38: (
        "response_not_encrypted jwe_not_allowed",
        (
            f"{A}presentations.py::"
            "test_38_an_answer_in_the_clear_is_refused_where_encryption_was_asked_and_the_lender_hears_of_it",
            f"{I}jwe.py::test_38_an_algorithm_or_a_compression_that_was_not_offered",
            f"{I}jwe.py::test_38_a_header_that_says_what_it_may_not",
        ),
    ),
    39: (
        "context_not_allowed",
        (
            f"{I}vc_jwt.py::test_17_to_20_and_39_times_and_contexts",
            "tests/identity/linked_data/test_legacy_proof.py::test_the_remap_attack_is_refused",
        ),
    ),
    40: (
        "context_not_allowed",
        (
            "tests/identity/linked_data/test_canonicalization.py::"
            "test_a_context_that_is_not_on_the_list_is_not_looked_for",
        ),
    ),
    41: (
        "proof_purpose_mismatch nonce_mismatch audience_mismatch",
        (
            f"{I}data_integrity.py::test_41_a_proof_is_for_its_purpose",
            f"{I}data_integrity.py::test_41_a_proof_is_for_this_request_or_for_none",
        ),
    ),
    42: (
        "issuer_key_mismatch key_not_for_relationship key_controller_mismatch",
        (
            f"{I}did.py::test_input_42_a_key_that_does_not_serve_for_what_was_signed_is_refused",
            f"{I}did_web.py::test_input_42_a_key_that_the_document_uses_for_something_else_is_refused",
            f"{I}did_web_issuers.py::test_input_42_a_key_that_is_for_logging_in_signs_no_credentials",
        ),
    ),
    43: (
        "proof_missing proof_set_not_allowed proof_chain_not_allowed",
        (
            f"{I}data_integrity.py::test_43_a_document_has_exactly_one_proof",
            f"{I}data_integrity.py::test_43_proof_sets_and_chains_are_refused_by_policy",
        ),
    ),
    44: (
        "undefined_term",
        (
            f"{I}vcdm.py::test_44_our_terms_need_our_context",
            "tests/identity/linked_data/test_canonicalization.py::test_a_term_that_no_context_defines_is_refused",
        ),
    ),
    45: (
        "keyword_not_allowed rdf_too_complex linked_data_failed",
        (
            "tests/identity/linked_data/test_structure.py::test_a_keyword_is_refused_by_name",
            "tests/identity/linked_data/test_structure.py::test_blank_nodes_are_counted_and_64_are_the_most",
            "tests/identity/linked_data/test_workers.py::"
            "test_what_takes_too_long_is_stopped_and_the_next_document_is_served",
        ),
    ),
    46: (
        "bad_multibase bad_proof_value",
        (
            f"{I}multikey.py::test_input_46_another_multibase_is_refused",
            f"{I}data_integrity.py::test_what_a_proof_may_not_be",
        ),
    ),
    47: ("bad_signature", (f"{I}vc_jwt.py::test_47_a_tampered_credential_within_is_found",)),
    48: (
        "did_web_host_not_allowed did_web_port_not_allowed did_web_path_not_allowed did_web_encoding_not_allowed "
        "address_not_public redirect_not_followed response_too_large fetch_timeout",
        (
            f"{I}ssrf.py::test_input_48_a_hostile_did_web_is_refused_before_any_name_is_asked",
            f"{I}did_web.py::test_input_48_what_names_no_place_is_refused",
        ),
    ),
    49: ("did_document_mismatch", (f"{I}did_web.py::test_input_49_the_document_of_another_did_is_refused",)),
    50: (
        "bad_did key_not_supported",
        (
            f"{I}did.py::test_input_50_a_long_did_key_is_refused_before_it_is_decoded",
            f"{I}did.py::test_input_50_did_keys_of_other_codecs_are_refused",
        ),
    ),
    51: (
        "did_deactivated key_past_its_end unknown_kid",
        (
            f"{I}did_web.py::test_input_51_a_deactivated_did_is_refused",
            f"{I}did.py::test_input_51_a_key_is_refused_from_its_end_on",
            f"{I}did_resolver.py::test_input_51_a_key_that_was_rotated_out_is_unknown_when_the_document_counts_no_more",
        ),
    ),
    52: (
        "url_not_allowed address_not_public redirect_not_followed",
        (
            f"{I}ssrf.py::test_input_52_a_hostile_status_url_is_refused_before_any_name_is_asked",
            f"{I}status_list.py::test_input_52_a_list_url_that_redirects_is_refused",
        ),
    ),
    53: ("status_list_too_large", (f"{I}status_list.py::test_input_53_a_list_that_inflates_without_end_is_refused",)),
    54: (
        "bad_status_index",
        (
            f"{I}sd_jwt.py::test_input_54_a_status_index_that_is_no_index_is_refused",
            f"{I}status_list.py::test_input_54_an_index_beyond_the_list_is_refused",
        ),
    ),
    55: (
        "bad_jws status_list_issuer_mismatch status_list_subject_mismatch status_list_expired",
        (
            f"{I}status_list.py::test_input_55_an_unsigned_list_is_refused",
            f"{I}status_list.py::test_input_55_a_list_signed_by_another_issuer_is_refused",
            f"{I}status_list.py::test_input_55_a_list_for_another_url_is_refused",
            f"{I}status_list.py::test_input_55_an_expired_list_is_refused",
            f"{I}status_list.py::test_input_55_a_cached_list_past_its_ttl_is_not_used_when_the_issuer_is_gone",
        ),
    ),
    56: (
        "unknown_status_value unsupported_status",
        (f"{I}status_list.py::test_input_56_a_status_of_another_purpose_is_refused",),
    ),
    57: (
        "status_unavailable",
        (f"{I}status_list.py::test_input_57_an_unreachable_list_fails_closed_and_is_retriable",),
    ),
    58: ("unsupported_status", (f"{I}sd_jwt.py::test_input_58_an_unknown_status_mechanism_is_refused",)),
    59: (
        "key_proof_nonce_missing nonce_spent key_proof_audience_mismatch key_proof_stale alg_not_allowed "
        "holder_key_used_before",
        (
            f"{I}key_proof.py::test_a_proof_is_refused_for",
            f"{I}key_proof.py::test_an_algorithm_that_is_not_listed_is_refused",
            f"{A}issuance.py::test_a_nonce_is_of_one_tenant_and_for_one_request",
            f"{A}issuance.py::test_a_key_is_used_for_one_copy_at_whatever_tenant",
        ),
    ),
    60: (
        "pre_authorized_code_invalid tx_code_wrong",
        (
            f"{A}issuance.py::test_a_code_is_exchanged_once_and_a_second_time_revokes_its_token",
            f"{A}issuance.py::test_a_transaction_code_has_five_tries",
        ),
    ),
    61: ("credential_token_invalid", (f"{A}issuance.py::test_codes_and_tokens_are_of_one_tenant",)),
}


@cache
def functions_of(file: str) -> frozenset[str]:
    """The test functions of a file."""
    parsed = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in parsed.body if isinstance(node, ast.FunctionDef))


#: Every refusal that the API answers with.
CODES = {getattr(refusal, "code", "") for refusals in problems._STATUSES.values() for refusal in refusals}


def test_the_61_are_all_here() -> None:
    assert list(INPUTS) == list(range(1, 62))


@pytest.mark.parametrize("number", INPUTS)
def test_an_input_has_a_refusal_of_its_own_and_a_test_of_it(number: int) -> None:
    codes, tests = INPUTS[number]
    assert set(codes.split()) <= CODES
    for test in tests:
        file, _, function = test.partition("::")
        assert function in functions_of(file), test
