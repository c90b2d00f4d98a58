// A third party's wallet: @openid4vc/openid4vci obtains credentials for an offer, over HTTP, as its own users would.
// Reads one JSON object from standard input: {offer_link, tx_code?, copies}. Writes one: {credentials, keys, ...}.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { clientAuthenticationAnonymous, setGlobalConfig } from "@openid4vc/oauth2";
import { Openid4vciClient } from "@openid4vc/openid4vci";
import { SignJWT, exportJWK, generateKeyPair, importJWK } from "jose";

setGlobalConfig({ allowInsecureUrls: true }); // the service is on loopback
const asked = JSON.parse(readFileSync(0, "utf8"));
const keys = new Map();

async function makeKey() {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(publicKey);
  keys.set(jwk.x, await exportJWK(privateKey));
  return jwk;
}

async function signJwt(signer, { header, payload }) {
  const privateKey = await importJWK(keys.get(signer.publicJwk.x), signer.alg);
  return {
    jwt: await new SignJWT(payload).setProtectedHeader(header).sign(privateKey),
    signerJwk: signer.publicJwk,
  };
}

const unused = () => {
  throw new Error("not part of this flow");
};
const client = new Openid4vciClient({
  callbacks: {
    fetch,
    hash: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
    generateRandom: (bytes) => randomBytes(bytes),
    clientAuthentication: clientAuthenticationAnonymous(),
    signJwt,
    verifyJwt: unused,
    decryptJwe: unused,
    encryptJwe: unused,
  },
});

const credentialOffer = await client.resolveCredentialOffer(asked.offer_link);
const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer);
const { accessTokenResponse } = await client.retrievePreAuthorizedCodeAccessTokenFromOffer({
  credentialOffer,
  issuerMetadata,
  txCode: asked.tx_code ?? undefined,
});
const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata });
const [credentialConfigurationId] = credentialOffer.credential_configuration_ids;
const proofs = [];
for (let copy = 0; copy < asked.copies; copy += 1) {
  const publicJwk = await makeKey();
  const { jwt } = await client.createCredentialRequestJwtProof({
    issuerMetadata,
    credentialConfigurationId,
    nonce,
    signer: { method: "jwk", publicJwk, alg: "ES256" },
  });
  proofs.push(jwt);
}
const { credentialResponse } = await client.retrieveCredentials({
  issuerMetadata,
  accessToken: accessTokenResponse.access_token,
  credentialConfigurationId,
  proofs: { jwt: proofs },
});
process.stdout.write(
  JSON.stringify({
    version: issuerMetadata.originalDraftVersion,
    batch_size: issuerMetadata.credentialIssuer.batch_credential_issuance.batch_size,
    known_configurations: Object.keys(issuerMetadata.knownCredentialConfigurations),
    token_type: accessTokenResponse.token_type,
    credentials: credentialResponse.credentials.map((each) => each.credential),
    keys: [...keys.values()],
  }),
);
