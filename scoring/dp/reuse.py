"""The same data, schema and parameters cost nothing twice: a keyed MAC finds the artifact they made.

A plain digest of the data would let anyone who guesses the data confirm it; the key stays with the holder, in a
file apart from the ledger.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence


def inputs_mac(
    key: bytes, *, parameters: Mapping[str, object], columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> str:
    """HMAC-SHA-256 (hex) over the parameters and, row by row, the named columns' texts, each with its length.

    A column that a row lacks differs from an empty one.
    """
    mac = hmac.new(key, b"credence/inputs/v1\0", hashlib.sha256)
    header = json.dumps({"parameters": dict(parameters), "columns": list(columns)}, sort_keys=True).encode()
    mac.update(len(header).to_bytes(8, "big") + header)
    for row in rows:
        for column in columns:
            text = row.get(column)
            data = b"" if text is None else text.encode("utf-8", "surrogatepass")
            mac.update((0 if text is None else 1 + len(data)).to_bytes(8, "big") + data)
    return mac.hexdigest()
