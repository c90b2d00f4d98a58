"""Issue with didkit what stands on the standard input, in a process of its own: didkit crashes those that end.

Each of a JSON array of `{kind, document, options, key}` is answered in one of the signed documents.
"""

import asyncio
import json
import os
import sys

import didkit


async def main() -> None:
    issue = {"credential": didkit.issue_credential, "presentation": didkit.issue_presentation}
    signed = []
    for asked in json.load(sys.stdin):
        document, options, key = (json.dumps(asked[name]) for name in ("document", "options", "key"))
        signed.append(json.loads(await issue[asked["kind"]](document, options, key)))
    json.dump(signed, sys.stdout)
    sys.stdout.flush()
    os._exit(0)


asyncio.run(main())
