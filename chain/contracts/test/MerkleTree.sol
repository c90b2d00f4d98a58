// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev RFC 6962 section 2.1 word for word, recursively: the oracle of the tests, which shares no code with the contract.
library MerkleTree {
    function leafHash(bytes memory leaf) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", leaf));
    }

    /// @dev MTH(D[n]) over leaf hashes.
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _root(leaves, 0, leaves.length);
    }

    /// @dev PATH(m, D[n]) over leaf hashes.
    function path(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory) {
        return _path(leaves, 0, leaves.length, index);
    }

    function _root(bytes32[] memory leaves, uint256 begin, uint256 end) private pure returns (bytes32) {
        if (end - begin == 1) return leaves[begin];
        uint256 middle = begin + _split(end - begin);
        return sha256(abi.encodePacked(hex"01", _root(leaves, begin, middle), _root(leaves, middle, end)));
    }

    function _path(bytes32[] memory leaves, uint256 begin, uint256 end, uint256 index)
        private
        pure
        returns (bytes32[] memory)
    {
        if (end - begin == 1) return new bytes32[](0);
        uint256 middle = begin + _split(end - begin);
        return index < middle
            ? _append(_path(leaves, begin, middle, index), _root(leaves, middle, end))
            : _append(_path(leaves, middle, end, index), _root(leaves, begin, middle));
    }

    /// @dev The largest power of two below `n`.
    function _split(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (2 * k < n) k *= 2;
    }

    function _append(bytes32[] memory hashes, bytes32 hash) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](hashes.length + 1);
        for (uint256 i = 0; i < hashes.length; ++i) {
            longer[i] = hashes[i];
        }
        longer[hashes.length] = hash;
    }
}
