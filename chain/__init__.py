"""The log and its anchors: Merkle tree, tiles, checkpoints, self-contained proofs, the contract that holds roots."""
