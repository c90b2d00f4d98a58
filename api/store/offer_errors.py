"""Why an offer is not redeemed, issued, made or revoked."""

from api.store.database import StoreError


class PreAuthorizedCodeInvalid(StoreError):
    """The code is unknown, another tenant's, used, expired or revoked; which of these is not said."""

    code = "pre_authorized_code_invalid"

    def __init__(self) -> None:
        super().__init__("The pre-authorized code is not valid, or not any more.")


class TxCodeWrong(StoreError):
    """The transaction code is not the one that was given out; after five of these the offer is over."""

    code = "tx_code_wrong"

    def __init__(self) -> None:
        super().__init__("The transaction code is wrong.")


class TxCodeMissing(StoreError):
    """The offer needs a transaction code."""

    code = "tx_code_missing"

    def __init__(self) -> None:
        super().__init__("A transaction code is needed.")


class TxCodeNotExpected(StoreError):
    """The offer has no transaction code."""

    code = "tx_code_not_expected"

    def __init__(self) -> None:
        super().__init__("No transaction code is expected.")


class AccessTokenInvalid(StoreError):
    """The access token is unknown, another tenant's, revoked or expired; which of these is not said."""

    code = "credential_token_invalid"

    def __init__(self) -> None:
        super().__init__("The access token is not valid, or not any more.")


class AlreadyIssued(StoreError):
    """The credentials of the offer were issued; they are issued once."""

    code = "already_issued"

    def __init__(self) -> None:
        super().__init__("What the offer is for was issued already.")


class HolderKeyUsedBefore(StoreError):
    """The key was used before, here or at another tenant, for a copy or to present: by it the two could be linked."""

    code = "holder_key_used_before"

    def __init__(self) -> None:
        super().__init__("A key was used before, for another copy or to present. Make a new one for each copy.")


class ScoreOver(StoreError):
    """The last whole day of the score is over."""

    code = "score_over"

    def __init__(self) -> None:
        super().__init__("The score is not valid for another whole day.")


class OfferOver(StoreError):
    """The offer was issued, or is over, and cannot be revoked any more."""

    code = "offer_over"

    def __init__(self) -> None:
        super().__init__("The offer is over.")
