// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title CheckpointAnchor
/// @notice Keeps checkpoints (size and root hash) of append-only Merkle logs, each under a log id with publishers of
/// its own. Sizes only grow, and a checkpoint once anchored never changes.
/// @dev A log id commits to its creator, so nobody can take another's id, and only a log's publishers write under it,
/// so nobody can take another's root or size by sending it first. The contract has no owner, no upgrade and no funds.
/// Roots are RFC 6962 Merkle tree hashes over SHA-256. Nothing but ids, sizes, roots and times is ever stored.
contract CheckpointAnchor {
    /// @dev `time` is the block's timestamp in seconds; zero means that nothing was anchored.
    struct Checkpoint {
        bytes32 root;
        uint64 time;
    }

    /// @dev `admin` and `latestSize` share a storage slot, so that anchoring touches one slot of the log's own.
    struct Log {
        address admin;
        uint64 latestSize;
        address pendingAdmin;
        mapping(address account => bool) publishers;
        mapping(uint64 size => Checkpoint) checkpoints;
    }

    mapping(bytes32 logId => Log) private _logs;

    /// @notice A log was created; `originHash` is the SHA-256 of the origin line of its checkpoints.
    event LogCreated(bytes32 indexed logId, address indexed admin, bytes32 originHash);

    /// @notice `publisher` may anchor from now on.
    event PublisherAdded(bytes32 indexed logId, address indexed publisher);

    /// @notice `publisher` may not anchor any more; what it anchored stays.
    event PublisherRemoved(bytes32 indexed logId, address indexed publisher);

    /// @notice `pendingAdmin` may take the log over; the zero address means that an offer was withdrawn.
    event AdminOffered(bytes32 indexed logId, address indexed pendingAdmin);

    /// @notice `admin` took the log over.
    event AdminChanged(bytes32 indexed logId, address indexed admin);

    /// @notice The checkpoint (`size`, `root`) was anchored in a block of `time` (seconds).
    event Anchored(bytes32 indexed logId, uint64 indexed size, bytes32 root, uint64 time);

    /// @notice The creator already has a log for this origin.
    error LogExists(bytes32 logId);

    /// @notice Only the log's admin may do this.
    error NotAdmin(bytes32 logId, address account);

    /// @notice Only the account that the admin offered the log to may accept it.
    error NotPendingAdmin(bytes32 logId, address account);

    /// @notice The account is not a publisher of the log.
    error NotPublisher(bytes32 logId, address account);

    /// @notice The account is a publisher of the log already.
    error AlreadyPublisher(bytes32 logId, address account);

    /// @notice The zero address cannot publish.
    error ZeroPublisher();

    /// @notice A checkpoint must be larger than the latest one.
    error SizeNotGreater(bytes32 logId, uint64 size, uint64 latestSize);

    /// @notice No checkpoint of this size is anchored.
    error NotAnchored(bytes32 logId, uint64 size);

    modifier onlyAdmin(bytes32 logId) {
        require(_logs[logId].admin == msg.sender, NotAdmin(logId, msg.sender));
        _;
    }

    /// @notice Creates the caller's log for an origin, with the caller as its admin.
    /// @param originHash SHA-256 of the origin line of the log's checkpoints.
    /// @param publishers Accounts that may anchor; the admin is one only if it is listed.
    /// @return logId The log's id, which `computeLogId` also gives.
    function createLog(bytes32 originHash, address[] calldata publishers) external returns (bytes32 logId) {
        logId = computeLogId(msg.sender, originHash);
        Log storage log = _logs[logId];
        require(log.admin == address(0), LogExists(logId));
        log.admin = msg.sender;
        emit LogCreated(logId, msg.sender, originHash);
        for (uint256 i = 0; i < publishers.length; ++i) {
            _addPublisher(logId, publishers[i]);
        }
    }

    /// @notice Lets an account anchor; only the admin may call it.
    /// @param logId The log.
    /// @param publisher The account, which must not be a publisher yet.
    function addPublisher(bytes32 logId, address publisher) external onlyAdmin(logId) {
        _addPublisher(logId, publisher);
    }

    /// @notice Stops an account from anchoring; only the admin may call it.
    /// @param logId The log.
    /// @param publisher The account, which must be a publisher.
    function removePublisher(bytes32 logId, address publisher) external onlyAdmin(logId) {
        require(_logs[logId].publishers[publisher], NotPublisher(logId, publisher));
        delete _logs[logId].publishers[publisher];
        emit PublisherRemoved(logId, publisher);
    }

    /// @notice Offers the log to another admin, who must accept; only the admin may call it.
    /// @param logId The log.
    /// @param pendingAdmin The account; the zero address withdraws an offer.
    function offerAdmin(bytes32 logId, address pendingAdmin) external onlyAdmin(logId) {
        _logs[logId].pendingAdmin = pendingAdmin;
        emit AdminOffered(logId, pendingAdmin);
    }

    /// @notice Takes over a log that was offered to the caller.
    /// @param logId The log.
    function acceptAdmin(bytes32 logId) external {
        Log storage log = _logs[logId];
        require(log.pendingAdmin == msg.sender, NotPendingAdmin(logId, msg.sender));
        log.admin = msg.sender;
        delete log.pendingAdmin;
        emit AdminChanged(logId, msg.sender);
    }

    /// @notice Anchors a checkpoint; only a publisher of the log may call it.
    /// @param logId The log.
    /// @param size The number of leaves, greater than at the latest checkpoint.
    /// @param root The RFC 6962 Merkle tree hash of those leaves.
    function anchor(bytes32 logId, uint64 size, bytes32 root) external {
        Log storage log = _logs[logId];
        require(log.publishers[msg.sender], NotPublisher(logId, msg.sender));
        require(size > log.latestSize, SizeNotGreater(logId, size, log.latestSize));
        log.latestSize = size;
        uint64 time = uint64(block.timestamp);
        log.checkpoints[size] = Checkpoint(root, time);
        emit Anchored(logId, size, root, time);
    }

    /// @notice The newest checkpoint of a log; all zero when there is none.
    /// @param logId The log.
    /// @return size The number of leaves.
    /// @return root The root hash.
    /// @return time The timestamp, in seconds, of the block that anchored it.
    function latest(bytes32 logId) external view returns (uint64 size, bytes32 root, uint64 time) {
        Log storage log = _logs[logId];
        size = log.latestSize;
        Checkpoint storage checkpoint = log.checkpoints[size];
        return (size, checkpoint.root, checkpoint.time);
    }

    /// @notice The checkpoint of a log at a size; all zero when none was anchored at that size.
    /// @param logId The log.
    /// @param size The number of leaves.
    /// @return root The root hash.
    /// @return time The timestamp, in seconds, of the block that anchored it.
    function anchorAt(bytes32 logId, uint64 size) external view returns (bytes32 root, uint64 time) {
        Checkpoint storage checkpoint = _logs[logId].checkpoints[size];
        return (checkpoint.root, checkpoint.time);
    }

    /// @notice Whether a leaf lies in a log, by an RFC 6962 inclusion proof to an anchored checkpoint.
    /// @dev Follows RFC 9162 section 2.1.3.2. Reverts when no checkpoint of this size is anchored.
    /// @param logId The log.
    /// @param size The checkpoint's number of leaves.
    /// @param leafHash SHA-256(0x00 || leaf).
    /// @param index The leaf's place in the log, from zero.
    /// @param proof The sibling hashes from the leaf to the root.
    /// @return Whether the proof leads from the leaf to the anchored root.
    function verifyInclusion(bytes32 logId, uint64 size, bytes32 leafHash, uint64 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        Checkpoint storage checkpoint = _logs[logId].checkpoints[size];
        require(checkpoint.time != 0, NotAnchored(logId, size));
        if (index >= size) return false;

        uint64 node = index;
        uint64 last = size - 1;
        bytes32 hash = leafHash;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            if (node & 1 == 1 || node == last) {
                hash = _nodeHash(proof[i], hash);
                // The right edge of an incomplete tree: climb to the level where this node is a right child.
                while (node & 1 == 0 && node != 0) {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = _nodeHash(hash, proof[i]);
            }
            node >>= 1;
            last >>= 1;
        }
        return last == 0 && hash == checkpoint.root;
    }

    /// @notice The log's admin, and the account that it was offered to; zero addresses when there is none.
    /// @param logId The log.
    /// @return admin The admin.
    /// @return pendingAdmin The account that may take over.
    function adminOf(bytes32 logId) external view returns (address admin, address pendingAdmin) {
        return (_logs[logId].admin, _logs[logId].pendingAdmin);
    }

    /// @notice Whether an account may anchor.
    /// @param logId The log.
    /// @param account The account.
    /// @return True for a publisher of the log.
    function isPublisher(bytes32 logId, address account) external view returns (bool) {
        return _logs[logId].publishers[account];
    }

    /// @notice The id of a creator's log for an origin, whether or not it exists.
    /// @param creator The account that creates, or created, the log.
    /// @param originHash SHA-256 of the origin line of the log's checkpoints.
    /// @return The log id.
    function computeLogId(address creator, bytes32 originHash) public pure returns (bytes32) {
        return keccak256(abi.encode(creator, originHash));
    }

    /// @dev Makes an account a publisher of a log.
    function _addPublisher(bytes32 logId, address publisher) private {
        require(publisher != address(0), ZeroPublisher());
        require(!_logs[logId].publishers[publisher], AlreadyPublisher(logId, publisher));
        _logs[logId].publishers[publisher] = true;
        emit PublisherAdded(logId, publisher);
    }

    /// @dev The RFC 6962 hash of an inner node: SHA-256(0x01 || left || right).
    function _nodeHash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
