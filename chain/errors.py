"""Every refusal of this room: one root, one leaf a reason, fixed messages that never repeat the input."""


class ChainError(Exception):
    """The root of this room's errors; `code` is stable, `message` is safe to show to anyone."""

    code = "chain_error"
    message = "The log or the chain refused this."

    def __init__(self) -> None:
        super().__init__(self.message)


# Merkle tree


class BadHash(ChainError):
    code = "bad_hash"
    message = "A hash is not 32 bytes long."


class BadTreeSize(ChainError):
    code = "bad_tree_size"
    message = "A tree size or a pair of tree sizes is out of range."


class IndexNotInTree(ChainError):
    code = "index_not_in_tree"
    message = "The index is not below the tree size."


class MalformedFrontier(ChainError):
    code = "malformed_frontier"
    message = "The stored frontier does not have the form of its size."


class ProofLengthWrong(ChainError):
    code = "proof_length_wrong"
    message = "The proof does not have the number of hashes that its sizes ask for."


class RootMismatch(ChainError):
    code = "root_mismatch"
    message = "The proof does not lead to the root."


# Tiles


class BadTilePath(ChainError):
    code = "bad_tile_path"
    message = "The path names no tile or entry bundle."


class TileNotInTree(ChainError):
    code = "tile_not_in_tree"
    message = "The tree has no such tile, or not yet at that width."


class MalformedTile(ChainError):
    code = "malformed_tile"
    message = "The stored tile does not have the length that the tree size asks for."


class MalformedEntryBundle(ChainError):
    code = "malformed_entry_bundle"
    message = "The entry bundle is not a sequence of the asked number of length-prefixed entries."


# Signed notes and checkpoints


class BadKeyName(ChainError):
    code = "bad_key_name"
    message = "A key name is empty or holds a space, a plus or a control character."


class BadSigningKey(ChainError):
    code = "bad_signing_key"
    message = "The log's private key is not a 32-byte Ed25519 seed."


class BadVerifierKey(ChainError):
    code = "bad_verifier_key"
    message = "The verifier key is not the canonical text of an Ed25519 key."


class AmbiguousVerifierKeys(ChainError):
    code = "ambiguous_verifier_keys"
    message = "Two different verifier keys share a name and a key ID."


class MalformedNote(ChainError):
    code = "malformed_note"
    message = "The text is not a signed note."


class BadNoteSignature(ChainError):
    code = "bad_note_signature"
    message = "A signature by a trusted key does not verify."


class NoTrustedSignature(ChainError):
    code = "no_trusted_signature"
    message = "No trusted key signed the note."


class UnverifiedSignature(ChainError):
    code = "unverified_signature"
    message = "The note of the proof holds a signature by an unknown key, or one key's signature twice."


class BadOrigin(ChainError):
    code = "bad_origin"
    message = "The origin is not a schema-less URL such as credence.example/log."


class MalformedCheckpoint(ChainError):
    code = "malformed_checkpoint"
    message = "The note is not a checkpoint of origin, size and root."


class NotSignedByOrigin(ChainError):
    code = "not_signed_by_origin"
    message = "No trusted key of the log that the checkpoint names has signed it."


class LogKeyRetired(ChainError):
    code = "log_key_retired"
    message = "The key that signed the checkpoint was retired at a smaller size."


# Entries and proofs


class EntryMembersWrong(ChainError):
    code = "entry_members_wrong"
    message = "The entry does not have exactly the members v, type, at, tenant, seq and body, each of its form."


class EntryValueRefused(ChainError):
    code = "entry_value_refused"
    message = "The entry holds a value other than strings, integers within 2^53, booleans, null, lists and objects."


class EntryTooLarge(ChainError):
    code = "entry_too_large"
    message = "The entry is larger or deeper than the log accepts."


class EntryNotCanonical(ChainError):
    code = "entry_not_canonical"
    message = "The entry is not canonical JSON (RFC 8785)."


class BadSalt(ChainError):
    code = "bad_salt"
    message = "The salt of a commitment is not 32 bytes long."


class MalformedProof(ChainError):
    code = "malformed_proof"
    message = "The proof does not have exactly the members of a log proof, each of its form."


# Chain and anchor


class ChainUnavailable(ChainError):
    code = "chain_unavailable"
    message = "The chain's RPC endpoint does not answer, or not as an Ethereum node does."


class ChainRefused(ChainError):
    code = "chain_refused"
    message = "The chain's node refused the request."


class WrongChain(ChainError):
    code = "wrong_chain"
    message = "The RPC endpoint serves another chain."


class ContractMissing(ChainError):
    code = "contract_missing"
    message = "The chain has no CheckpointAnchor contract at the address."


class BadChainAddress(ChainError):
    code = "bad_chain_address"
    message = "The address is not the 20 bytes of an account or contract, written as 0x and 40 hex digits."


class BadAccountKey(ChainError):
    code = "bad_account_key"
    message = "The private key is not 32 bytes that make a secp256k1 key."


class AccountUnfunded(ChainError):
    code = "account_unfunded"
    message = "The account cannot pay for the transaction."


class TransactionRefused(ChainError):
    code = "transaction_refused"
    message = "The chain's node refused the transaction."


class TransactionReverted(ChainError):
    code = "transaction_reverted"
    message = "The transaction was mined and failed."


class TransactionPending(ChainError):
    code = "transaction_pending"
    message = "The transaction was not mined in time; calling again carries on."


class DeployerMissing(ChainError):
    code = "deployer_missing"
    message = "The chain has no deterministic deployment proxy."


class AnvilMissing(ChainError):
    code = "anvil_missing"
    message = "No anvil binary is installed for this machine; npm ci installs one."


class AnvilFailed(ChainError):
    code = "anvil_failed"
    message = "anvil did not start; its log stands beside its state."


class AnvilRunning(ChainError):
    code = "anvil_running"
    message = "Another anvil keeps its state in the same directory."


class AnvilPortInUse(ChainError):
    code = "anvil_port_in_use"
    message = "Something else answers on anvil's port."


class AnvilStateDamaged(ChainError):
    code = "anvil_state_damaged"
    message = "Neither copy of anvil's state is whole."
