// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {Cheats} from "./Cheats.sol";
import {MerkleTree} from "./MerkleTree.sol";

contract CheckpointAnchorTest is Cheats {
    address internal constant ADMIN = address(0xA11CE);
    address internal constant PUBLISHER = address(0xB0B);
    address internal constant OUTSIDER = address(0xBAD);
    // No SHA-256 in these: computing it is a call, and forge's cheatcodes speak of the next call.
    bytes32 internal constant ORIGIN = keccak256("an origin");
    bytes32 internal constant ROOT = "a root";

    CheckpointAnchor internal anchors;
    bytes32 internal logId;

    function setUp() public {
        anchors = new CheckpointAnchor();
        logId = _createLog(ADMIN, ORIGIN);
    }

    // Logs

    function test_createLog_makesCallerAdminAndListedAccountsPublishers() public view {
        (address admin, address pending) = anchors.adminOf(logId);
        assertEq(admin, ADMIN, "admin");
        assertEq(pending, address(0), "pending admin");
        assertTrue(anchors.isPublisher(logId, PUBLISHER), "publisher");
        assertTrue(!anchors.isPublisher(logId, ADMIN), "an admin does not publish unless listed");
        assertEq(logId, keccak256(abi.encode(ADMIN, ORIGIN)), "id commits to creator and origin");
        (uint64 size, bytes32 root, uint64 time) = anchors.latest(logId);
        assertTrue(size == 0 && root == 0 && time == 0, "a new log is empty");
    }

    function test_createLog_emitsItsEvents() public {
        bytes32 id = anchors.computeLogId(OUTSIDER, ORIGIN);
        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.LogCreated(id, OUTSIDER, ORIGIN);
        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.PublisherAdded(id, PUBLISHER);
        _createLog(OUTSIDER, ORIGIN);
    }

    function test_createLog_anotherCreatorOfTheSameOriginGetsAnotherLog() public {
        bytes32 other = _createLog(OUTSIDER, ORIGIN);
        assertTrue(other != logId, "ids differ");
        _anchor(other, 5, ROOT);
        (uint64 size,,) = anchors.latest(logId);
        assertEq(size, 0, "the first log is untouched");
        _anchor(logId, 5, ROOT);
    }

    function test_createLog_refusesASecondTime() public {
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.LogExists.selector, logId));
        anchors.createLog(ORIGIN, new address[](0));
    }

    function test_createLog_refusesTheZeroAndARepeatedPublisher() public {
        address[] memory publishers = new address[](1);
        vm.prank(OUTSIDER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.ZeroPublisher.selector));
        anchors.createLog(ORIGIN, publishers);

        publishers = new address[](2);
        publishers[0] = publishers[1] = PUBLISHER;
        bytes32 id = anchors.computeLogId(OUTSIDER, ORIGIN);
        vm.prank(OUTSIDER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.AlreadyPublisher.selector, id, PUBLISHER));
        anchors.createLog(ORIGIN, publishers);
    }

    // Publishers

    function test_publishers_areRotatedByTheAdmin() public {
        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.PublisherAdded(logId, OUTSIDER);
        vm.prank(ADMIN);
        anchors.addPublisher(logId, OUTSIDER);
        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.PublisherRemoved(logId, PUBLISHER);
        vm.prank(ADMIN);
        anchors.removePublisher(logId, PUBLISHER);

        vm.prank(PUBLISHER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPublisher.selector, logId, PUBLISHER));
        anchors.anchor(logId, 1, ROOT);
        vm.prank(OUTSIDER);
        anchors.anchor(logId, 1, ROOT);
    }

    function test_publishers_aRemovedOnesCheckpointsStay() public {
        _anchor(logId, 7, ROOT);
        vm.prank(ADMIN);
        anchors.removePublisher(logId, PUBLISHER);
        (bytes32 root,) = anchors.anchorAt(logId, 7);
        assertEq(root, ROOT, "root");
    }

    function test_publishers_onlyTheAdminRotates() public {
        address[2] memory others = [PUBLISHER, OUTSIDER];
        for (uint256 i = 0; i < others.length; ++i) {
            bytes memory refusal = abi.encodeWithSelector(CheckpointAnchor.NotAdmin.selector, logId, others[i]);
            vm.prank(others[i]);
            vm.expectRevert(refusal);
            anchors.addPublisher(logId, OUTSIDER);
            vm.prank(others[i]);
            vm.expectRevert(refusal);
            anchors.removePublisher(logId, PUBLISHER);
            vm.prank(others[i]);
            vm.expectRevert(refusal);
            anchors.offerAdmin(logId, OUTSIDER);
        }
    }

    function test_publishers_refusesTheZeroARepeatedAndAnUnknownOne() public {
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.ZeroPublisher.selector));
        anchors.addPublisher(logId, address(0));
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.AlreadyPublisher.selector, logId, PUBLISHER));
        anchors.addPublisher(logId, PUBLISHER);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPublisher.selector, logId, OUTSIDER));
        anchors.removePublisher(logId, OUTSIDER);
    }

    // The admin

    function test_admin_changesInTwoSteps() public {
        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.AdminOffered(logId, OUTSIDER);
        vm.prank(ADMIN);
        anchors.offerAdmin(logId, OUTSIDER);
        (address admin, address pending) = anchors.adminOf(logId);
        assertTrue(admin == ADMIN && pending == OUTSIDER, "an offer changes nothing yet");

        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.AdminChanged(logId, OUTSIDER);
        vm.prank(OUTSIDER);
        anchors.acceptAdmin(logId);
        (admin, pending) = anchors.adminOf(logId);
        assertTrue(admin == OUTSIDER && pending == address(0), "accepted");

        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotAdmin.selector, logId, ADMIN));
        anchors.addPublisher(logId, ADMIN);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.LogExists.selector, logId));
        anchors.createLog(ORIGIN, new address[](0));
    }

    function test_admin_onlyTheOneWhoWasOfferedAccepts() public {
        vm.prank(ADMIN);
        anchors.offerAdmin(logId, OUTSIDER);
        vm.prank(PUBLISHER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPendingAdmin.selector, logId, PUBLISHER));
        anchors.acceptAdmin(logId);

        vm.prank(ADMIN);
        anchors.offerAdmin(logId, address(0));
        vm.prank(OUTSIDER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPendingAdmin.selector, logId, OUTSIDER));
        anchors.acceptAdmin(logId);
    }

    function test_admin_changeKeepsSizeAndPublishers() public {
        _anchor(logId, type(uint64).max - 1, ROOT);
        vm.prank(ADMIN);
        anchors.offerAdmin(logId, OUTSIDER);
        vm.prank(OUTSIDER);
        anchors.acceptAdmin(logId);
        (uint64 size,,) = anchors.latest(logId);
        assertEq(size, type(uint64).max - 1, "size shares the admin's slot");
        _anchor(logId, type(uint64).max, ROOT);
    }

    // Anchoring

    function test_anchor_storesTheCheckpointWithItsTime() public {
        vm.warp(1_700_000_000);
        vm.expectEmit(true, true, true, true, address(anchors));
        emit CheckpointAnchor.Anchored(logId, 3, ROOT, 1_700_000_000);
        _anchor(logId, 3, ROOT);
        vm.warp(1_700_000_012);
        _anchor(logId, 9, "a later root");

        (uint64 size, bytes32 root, uint64 time) = anchors.latest(logId);
        assertTrue(size == 9 && root == "a later root" && time == 1_700_000_012, "latest");
        (root, time) = anchors.anchorAt(logId, 3);
        assertTrue(root == ROOT && time == 1_700_000_000, "an earlier checkpoint stays as it was");
        (root, time) = anchors.anchorAt(logId, 4);
        assertTrue(root == 0 && time == 0, "nothing at a size that was never anchored");
    }

    function test_anchor_refusesASizeThatDoesNotGrow() public {
        vm.prank(PUBLISHER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.SizeNotGreater.selector, logId, 0, 0));
        anchors.anchor(logId, 0, ROOT);

        _anchor(logId, 5, ROOT);
        for (uint64 size = 0; size <= 5; ++size) {
            vm.prank(PUBLISHER);
            vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.SizeNotGreater.selector, logId, size, 5));
            anchors.anchor(logId, size, "another root");
        }
    }

    function test_anchor_refusesOutsidersAndUnknownLogs() public {
        address[2] memory others = [ADMIN, OUTSIDER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPublisher.selector, logId, others[i]));
            anchors.anchor(logId, 1, ROOT);
        }
        bytes32 unknown = bytes32(uint256(1));
        vm.prank(PUBLISHER);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPublisher.selector, unknown, PUBLISHER));
        anchors.anchor(unknown, 1, ROOT);
    }

    function testFuzz_anchor_onlyGrows(uint64 first, uint64 second, bytes32 root) public {
        if (first == 0) first = 1;
        _anchor(logId, first, ROOT);
        vm.prank(PUBLISHER);
        if (second <= first) {
            vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.SizeNotGreater.selector, logId, second, first));
        }
        anchors.anchor(logId, second, root);
        (uint64 size, bytes32 latestRoot,) = anchors.latest(logId);
        assertEq(size, second > first ? second : first, "size");
        assertEq(latestRoot, second > first ? root : ROOT, "root");
    }

    function testFuzz_anchor_nobodyElseAnchors(address account, uint64 size, bytes32 root) public {
        if (account == PUBLISHER) account = OUTSIDER;
        vm.prank(account);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotPublisher.selector, logId, account));
        anchors.anchor(logId, size, root);
    }

    // Inclusion

    function test_verifyInclusion_everyLeafOfEveryTreeUpTo20() public {
        for (uint64 size = 1; size <= 20; ++size) {
            bytes32[] memory leaves = _leaves(size);
            _anchor(logId, size, MerkleTree.root(leaves));
            for (uint64 index = 0; index < size; ++index) {
                bytes32[] memory proof = MerkleTree.path(leaves, index);
                assertTrue(anchors.verifyInclusion(logId, size, leaves[index], index, proof), "a true proof");
                for (uint64 other = 0; other <= size; ++other) {
                    if (other == index) continue;
                    assertTrue(!anchors.verifyInclusion(logId, size, leaves[index], other, proof), "another index");
                }
                assertTrue(!anchors.verifyInclusion(logId, size, ~leaves[index], index, proof), "another leaf");
                assertTrue(!anchors.verifyInclusion(logId, size, leaves[index], index, _longer(proof)), "too long");
                if (proof.length > 0) {
                    bytes32[] memory shorter = _shorter(proof);
                    assertTrue(!anchors.verifyInclusion(logId, size, leaves[index], index, shorter), "too short");
                }
            }
        }
    }

    function test_verifyInclusion_matchesPublishedRoots() public {
        // The roots of the first n leaves of RFC 6962's well-known test tree (certificate-transparency-go, testdata).
        bytes[8] memory inputs = [
            bytes(""),
            hex"00",
            hex"10",
            hex"2021",
            hex"3031",
            hex"40414243",
            hex"5051525354555657",
            hex"606162636465666768696a6b6c6d6e6f"
        ];
        bytes32[] memory leaves = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            leaves[i] = MerkleTree.leafHash(inputs[i]);
        }
        bytes32 root = 0x5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328;
        assertEq(MerkleTree.root(leaves), root, "the oracle");
        _anchor(logId, 8, root);
        for (uint64 i = 0; i < 8; ++i) {
            assertTrue(anchors.verifyInclusion(logId, 8, leaves[i], i, MerkleTree.path(leaves, i)), "included");
        }
    }

    function test_verifyInclusion_refusesAProofThatIsDeeperThanTheSize() public {
        bytes32[] memory leaves = _leaves(2);
        _anchor(logId, 1, MerkleTree.root(leaves));
        assertTrue(!anchors.verifyInclusion(logId, 1, leaves[1], 0, MerkleTree.path(leaves, 1)), "one leaf is no two");
    }

    function test_verifyInclusion_refusesASizeThatWasNotAnchored() public {
        _anchor(logId, 2, ROOT);
        vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.NotAnchored.selector, logId, 1));
        anchors.verifyInclusion(logId, 1, ROOT, 0, new bytes32[](0));
    }

    function testFuzz_verifyInclusion(uint64 size, uint64 index, uint8 node, uint8 bit) public {
        size = 1 + size % 300;
        index %= size;
        bytes32[] memory leaves = _leaves(size);
        _anchor(logId, size, MerkleTree.root(leaves));
        bytes32[] memory proof = MerkleTree.path(leaves, index);
        assertTrue(anchors.verifyInclusion(logId, size, leaves[index], index, proof), "a true proof");
        if (proof.length > 0) {
            proof[node % proof.length] ^= bytes32(uint256(1) << bit);
            assertTrue(!anchors.verifyInclusion(logId, size, leaves[index], index, proof), "one bit flipped");
        }
    }

    function testFuzz_verifyInclusion_refusesNoise(uint64 size, bytes32 leaf, uint64 index, bytes32[] memory proof)
        public
    {
        if (size == 0) size = 1;
        _anchor(logId, size, ROOT);
        if (proof.length > 64) {
            assembly {
                mstore(proof, 64)
            }
        }
        assertTrue(!anchors.verifyInclusion(logId, size, leaf, index, proof), "noise");
    }

    // Gas, one call a test, for .gas-snapshot

    function test_gas_anchor_first() public {
        _anchor(logId, 1, ROOT);
    }

    function test_gas_verifyInclusion_of65537() public {
        bytes32[] memory proof = new bytes32[](17);
        _anchor(logId, 65537, ROOT);
        assertTrue(!anchors.verifyInclusion(logId, 65537, ROOT, 12345, proof), "noise");
    }

    function _createLog(address admin, bytes32 originHash) private returns (bytes32) {
        address[] memory publishers = new address[](1);
        publishers[0] = PUBLISHER;
        vm.prank(admin);
        return anchors.createLog(originHash, publishers);
    }

    function _anchor(bytes32 id, uint64 size, bytes32 root) private {
        vm.prank(PUBLISHER);
        anchors.anchor(id, size, root);
    }

    function _leaves(uint64 size) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint64 i = 0; i < size; ++i) {
            leaves[i] = MerkleTree.leafHash(abi.encodePacked(i));
        }
    }

    function _longer(bytes32[] memory proof) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](proof.length + 1);
        for (uint256 i = 0; i < proof.length; ++i) {
            longer[i] = proof[i];
        }
    }

    function _shorter(bytes32[] memory proof) private pure returns (bytes32[] memory shorter) {
        shorter = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < shorter.length; ++i) {
            shorter[i] = proof[i];
        }
    }
}
