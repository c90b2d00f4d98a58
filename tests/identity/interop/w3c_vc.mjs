// npm's @digitalbazaar/vc as issuer, holder and verifier: one JSON command on stdin, one JSON answer on stdout.
// It sees public keys, and private ones only of the part that it plays.
import { readFileSync } from "node:fs";
import * as Ed25519Multikey from "@digitalbazaar/ed25519-multikey";
import * as vc from "@digitalbazaar/vc";
import { contexts } from "@digitalbazaar/credentials-context";
import { DataIntegrityProof } from "@digitalbazaar/data-integrity";
import { cryptosuite } from "@digitalbazaar/eddsa-rdfc-2022-cryptosuite";

const OURS = "urn:credence:contexts:credit-history:v1";
const ours = new URL("../../../identity/linked_data/contexts/credit-history-v1.jsonld", import.meta.url);
const DID_CONTEXT = "https://www.w3.org/ns/did/v1";

const documents = new Map([...contexts, [OURS, JSON.parse(readFileSync(ours, "utf8"))]]);

// Contexts from disk, and did:key documents made here: nothing is fetched.
async function documentLoader(url) {
  let document = documents.get(url);
  if (url.startsWith("did:key:")) {
    const [did, fragment] = url.split("#");
    const multikey = did.slice("did:key:".length);
    const method = { id: `${did}#${multikey}`, type: "Multikey", controller: did, publicKeyMultibase: multikey };
    const relationships = { assertionMethod: [method.id], authentication: [method.id] };
    document = fragment
      ? { "@context": "https://w3id.org/security/multikey/v1", ...method }
      : { "@context": [DID_CONTEXT], id: did, verificationMethod: [method], ...relationships };
  }
  if (document === undefined) throw new Error("not on disk");
  return { contextUrl: null, documentUrl: url, document };
}

async function suiteOf({ did, seed, created }) {
  const key = await Ed25519Multikey.generate({ controller: did, seed: Buffer.from(seed, "base64url") });
  if (key.id !== `${did}#${did.slice("did:key:".length)}`) throw new Error("the seed is of another DID");
  return new DataIntegrityProof({ signer: key.signer(), cryptosuite, date: created });
}

const commands = {
  async issue({ key, credential, now }) {
    return vc.issue({ credential, suite: await suiteOf(key), documentLoader, now });
  },

  async present({ key, credential, challenge, domain, now }) {
    const presentation = vc.createPresentation({ verifiableCredential: credential, holder: key.did, now });
    return vc.signPresentation({ presentation, suite: await suiteOf(key), challenge, domain, documentLoader });
  },

  async verify({ presentation, challenge, domain, now }) {
    const suite = new DataIntegrityProof({ cryptosuite });
    const found = await vc.verify({ presentation, challenge, domain, suite, documentLoader, now });
    return { verified: found.verified, error: found.error?.errors?.map(String) ?? found.error?.message ?? null };
  },
};

const { command, ...parameters } = JSON.parse(readFileSync(0, "utf8"));
try {
  console.log(JSON.stringify({ result: await commands[command](parameters) }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error?.stack ?? error) }));
}
