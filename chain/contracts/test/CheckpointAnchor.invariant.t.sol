// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {Cheats} from "./Cheats.sol";

/// @dev Does whatever anyone may try on one log, keeps its own books, and records where the contract departs from them.
contract Attempts is Cheats {
    CheckpointAnchor public immutable anchors = new CheckpointAnchor();
    bytes32 public immutable logId;

    address[4] private _accounts = [address(0xA1), address(0xB2), address(0xC3), address(0xD4)];
    address public admin = _accounts[0];
    address public pendingAdmin;
    mapping(address account => bool) public publishes;
    uint64 public largest;
    uint64[] public sizes;
    mapping(uint64 size => bytes32) public roots;
    string public departure;

    constructor() {
        vm.prank(admin);
        logId = anchors.createLog(0, new address[](0));
    }

    function anchor(uint8 who, uint64 step, bool shrink, bytes32 root) external {
        address sender = _accounts[who % 4];
        step %= 1000;
        uint64 size = shrink && step <= largest ? largest - step : largest + step;
        bool expected = publishes[sender] && size > largest;
        _attempt(sender, abi.encodeCall(anchors.anchor, (logId, size, root)), expected, "anchor");
        if (expected) {
            largest = size;
            sizes.push(size);
            roots[size] = root;
        }
    }

    function addPublisher(uint8 who, uint8 whom) external {
        (address sender, address account) = (_accounts[who % 4], _accounts[whom % 4]);
        bool expected = sender == admin && !publishes[account];
        _attempt(sender, abi.encodeCall(anchors.addPublisher, (logId, account)), expected, "addPublisher");
        if (expected) publishes[account] = true;
    }

    function removePublisher(uint8 who, uint8 whom) external {
        (address sender, address account) = (_accounts[who % 4], _accounts[whom % 4]);
        bool expected = sender == admin && publishes[account];
        _attempt(sender, abi.encodeCall(anchors.removePublisher, (logId, account)), expected, "removePublisher");
        if (expected) publishes[account] = false;
    }

    function offerAdmin(uint8 who, uint8 whom) external {
        (address sender, address account) = (_accounts[who % 4], _accounts[whom % 4]);
        bool expected = sender == admin;
        _attempt(sender, abi.encodeCall(anchors.offerAdmin, (logId, account)), expected, "offerAdmin");
        if (expected) pendingAdmin = account;
    }

    function acceptAdmin(uint8 who) external {
        address sender = _accounts[who % 4];
        bool expected = sender == pendingAdmin;
        _attempt(sender, abi.encodeCall(anchors.acceptAdmin, (logId)), expected, "acceptAdmin");
        if (expected) (admin, pendingAdmin) = (sender, address(0));
    }

    function createAnotherLog(uint8 who, bytes32 originHash) external {
        address[] memory publishers = new address[](1);
        publishers[0] = _accounts[who % 4];
        vm.prank(publishers[0]);
        try anchors.createLog(originHash, publishers) returns (bytes32 other) {
            if (other == logId) departure = "createLog";
            vm.prank(publishers[0]);
            anchors.anchor(other, largest + 1, originHash);
        } catch {}
    }

    function sizeCount() external view returns (uint256) {
        return sizes.length;
    }

    function _attempt(address sender, bytes memory data, bool expected, string memory what) private {
        vm.prank(sender);
        (bool succeeded,) = address(anchors).call(data);
        if (succeeded != expected) departure = what;
    }
}

contract CheckpointAnchorInvariantTest is Cheats {
    Attempts private _attempts;
    CheckpointAnchor private _anchors;
    bytes32 private _logId;

    function setUp() public {
        _attempts = new Attempts();
        _anchors = _attempts.anchors();
        _logId = _attempts.logId();
    }

    /// @dev Where forge takes its calls from.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_attempts);
    }

    function invariant_onlyWhoMayDoesWhatMayBe() public view {
        assertTrue(bytes(_attempts.departure()).length == 0, _attempts.departure());
        (address admin, address pendingAdmin) = _anchors.adminOf(_logId);
        assertEq(admin, _attempts.admin(), "admin");
        assertEq(pendingAdmin, _attempts.pendingAdmin(), "pending admin");
    }

    function invariant_sizesOnlyGrowAndCheckpointsStay() public view {
        (uint64 latestSize, bytes32 latestRoot,) = _anchors.latest(_logId);
        assertEq(latestSize, _attempts.largest(), "the latest size is the largest");
        assertEq(latestRoot, _attempts.roots(latestSize), "the latest root is a publisher's");
        uint64 previous = 0;
        for (uint256 i = 0; i < _attempts.sizeCount(); ++i) {
            uint64 size = _attempts.sizes(i);
            assertTrue(size > previous, "sizes grow");
            previous = size;
            (bytes32 root,) = _anchors.anchorAt(_logId, size);
            assertEq(root, _attempts.roots(size), "a checkpoint stays as it was");
        }
    }
}
