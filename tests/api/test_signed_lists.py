"""Status lists are signed when something in them changed, or a minute has passed, and not for everyone who asks."""

from api.http.signed_lists import SIGNED_KEPT_MS, SignedLists
from tests.api.test_revocation import put


def test_a_list_is_signed_anew_for_a_change_a_minute_and_another_address():
    lists, signed = SignedLists(), []

    def ask(uri, statuses, now_ms):
        def sign():
            signed.append((uri, statuses, now_ms))
            return f"{len(signed)}"

        return lists.load_or_sign(uri, statuses, sign, now_ms=now_ms)

    assert [ask("a", b"\0\0", 0), ask("a", b"\0\0", SIGNED_KEPT_MS - 1)] == ["1", "1"]
    assert ask("a", b"\0\0", SIGNED_KEPT_MS) == "2"
    assert ask("a", b"\0\1", SIGNED_KEPT_MS) == "3"
    assert ask("b", b"\0\1", SIGNED_KEPT_MS) == "4"
    assert ask("a", b"\0\1", SIGNED_KEPT_MS - 1) == "5"  # a clock that went back


def test_no_more_lists_are_kept_than_the_memory_is_meant_for():
    lists = SignedLists()
    for number in range(1_000):
        assert lists.load_or_sign(f"{number}", b"", str, now_ms=0) == ""
    assert len(lists._signed) == 64


def test_who_asks_again_gets_the_same_list_until_a_score_is_revoked(harness):
    score = harness.score()
    paths = [score["status"]["uri"], f"{score['status']['uri']}/revocation"]
    first, again = ([harness.http.get(path).text for path in paths] for _ in range(2))
    assert first == again
    assert put(harness, f"scores/{score['id']}", "revoked").status_code == 200
    assert all(old != harness.http.get(path).text for old, path in zip(first, paths, strict=True))
