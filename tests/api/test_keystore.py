"""The file keystore: one purpose a key, rotated by adding, and never read where others can."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from cryptography.exceptions import InvalidTag

from api.keystore import (
    Keyring,
    KeystoreError,
    Purpose,
    append_key,
    load_keyring,
    load_or_create_keyring,
    seal,
    unseal,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


def test_every_purpose_has_a_key_of_its_own_and_keeps_it(folder):
    made = load_or_create_keyring(folder, 1)
    assert sorted(key.purpose for key in made.keys) == sorted(get_args(Purpose))
    assert len({key.secret for key in made.keys}) == len(made.keys)
    assert len({key.kid for key in made.keys}) == len(made.keys)
    again = load_or_create_keyring(folder, 2)
    assert {key.kid: key for key in again.keys} == {key.kid: key for key in made.keys}
    assert load_keyring(folder).keys == again.keys
    assert made.active("attest").signing_key.alg == "ES256"
    assert made.active("seal").signing_key.alg == "EdDSA"
    assert len(made.active("log").secret) == len(made.active("mac").secret) == 32


def test_only_its_owner_can_read_a_key(folder):
    load_or_create_keyring(folder, 1)
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeystoreError, match="0600"):
        load_keyring(folder)


def test_the_folder_of_the_keys_is_on_disk_before_any_of_them_is_used(folder, monkeypatch):
    synced, sync = [], os.fsync

    def note(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    made = load_or_create_keyring(folder, 1)
    assert synced[0] == folder.parent
    assert synced[1:] == [place for key in made.keys for place in (folder / f"{key.purpose}-{key.kid}.key.new", folder)]


def test_the_newest_key_is_the_active_one_and_the_older_stay(folder):
    first = load_or_create_keyring(folder, 1).active("attest")
    second = append_key(folder, "attest", 2)
    ring = load_keyring(folder)
    assert ring.active("attest") == second
    assert ring.all("attest") == (first, second)
    # A retired key is never the active one, however new it is.
    retired = replace(second, retired_at_size=5)
    assert Keyring(keys=(retired, first)).active("attest") == first


def test_where_every_key_of_a_purpose_is_retired_a_new_one_is_made(folder):
    load_or_create_keyring(folder, 1)
    (path,) = folder.glob("attest-*")
    document = json.loads(path.read_text()) | {"retired_at_size": 7}
    path.write_text(json.dumps(document))
    ring = load_or_create_keyring(folder, 2)
    assert [key.retired_at_size for key in ring.all("attest")] == [7, None]
    assert ring.active("attest").created_at_ms == 2


def test_a_key_never_shows_itself(folder):
    ring = load_or_create_keyring(folder, 1)
    shown = repr(ring) + str(ring) + repr(ring.active("attest").signing_key)
    for key in ring.keys:
        secret = key.jwk.get("d") or key.jwk["k"]
        assert secret not in shown
        assert key.secret.hex() not in shown


def test_what_a_crash_left_unfinished_is_not_loaded(folder):
    load_or_create_keyring(folder, 1)
    before = load_keyring(folder)
    (folder / "attest-0.key.new").write_text('{"v": 1')
    assert load_keyring(folder) == before


GOOD = {"v": 1, "kid": "k", "purpose": "mac", "created_at_ms": 1, "retired_at_size": None}
OCTETS = {"kty": "oct", "k": "A" * 43}
EC = {
    "kty": "EC",
    "crv": "P-256",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


def test_the_key_file_that_the_others_are_made_from_is_good(folder):
    write(folder, json.dumps(GOOD | {"jwk": OCTETS}))
    assert load_keyring(folder).active("mac").secret == bytes(32)
    write(folder, json.dumps(GOOD | {"purpose": "attest", "jwk": EC}))
    assert load_keyring(folder).active("attest").signing_key.alg == "ES256"


def write(folder, text):
    folder.mkdir(exist_ok=True)
    path = folder / "some.key.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        b"\xff",
        "null",
        "[]",
        '"text"',
        "1",
        {},
        GOOD,
        GOOD | {"jwk": OCTETS, "v": 2},
        GOOD | {"jwk": OCTETS, "purpose": "everything"},
        GOOD | {"jwk": OCTETS, "purpose": ["mac"]},
        GOOD | {"jwk": OCTETS, "more": 1},
        GOOD | {"jwk": OCTETS, "kid": 1},
        GOOD | {"jwk": OCTETS, "created_at_ms": "1"},
        GOOD | {"jwk": OCTETS, "retired_at_size": True},
        GOOD | {"jwk": None},
        GOOD | {"jwk": {}},
        GOOD | {"jwk": OCTETS | {"k": "A" * 42}},
        GOOD | {"jwk": OCTETS | {"k": "A" * 44}},
        GOOD | {"jwk": OCTETS | {"k": 1}},
        GOOD | {"jwk": OCTETS, "purpose": "attest"},
        GOOD | {"jwk": EC, "purpose": "log"},
        GOOD | {"jwk": EC | {"d": "A" * 43}, "purpose": "attest"},
        GOOD | {"jwk": {n: v for n, v in EC.items() if n != "d"}, "purpose": "attest"},
    ],
)
def test_a_file_that_is_no_key_is_refused_by_its_place_alone(folder, document):
    write(folder, document if isinstance(document, str | bytes) else json.dumps(document))
    with pytest.raises(KeystoreError) as refused:
        load_keyring(folder)
    assert str(refused.value) == f"{folder / 'some.key.json'} is not a key file of this version."


def test_processes_that_start_together_agree_on_their_keys(folder):
    program = (
        "import sys; from pathlib import Path; from api.keystore import load_or_create_keyring as load; "
        "print(sorted(key.kid for key in load(Path(sys.argv[1]), 1).keys))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in started}) == 1
    assert len(list(folder.iterdir())) == len(get_args(Purpose))


def test_what_was_sealed_opens_under_the_same_key_and_context_only():
    key, other = b"k" * 32, b"o" * 32
    sealed = seal(key, b"text", b"context")
    assert unseal(key, sealed, b"context") == b"text"
    assert seal(key, b"text", b"context") != sealed
    for arguments in ((other, sealed, b"context"), (key, sealed, b"another"), (key, sealed[:-1] + b"\0", b"context")):
        with pytest.raises(InvalidTag):
            unseal(*arguments)
