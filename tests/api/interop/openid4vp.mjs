// A third party's wallet: @openid4vc/openid4vp reads a request link and answers it over HTTP, @sd-jwt discloses what is
// asked. Reads one JSON object from standard input: {link, credential, key}. Writes one: what it understood and posted.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { clientAuthenticationAnonymous, setGlobalConfig } from "@openid4vc/oauth2";
import { Openid4vpClient } from "@openid4vc/openid4vp";
import { digest, ES256, generateSalt } from "@sd-jwt/crypto-nodejs";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";
import { CompactEncrypt, importJWK, importX509, jwtVerify } from "jose";

setGlobalConfig({ allowInsecureUrls: true }); // the service is on loopback
const asked = JSON.parse(readFileSync(0, "utf8"));
const sent = [];

async function recordingFetch(url, init = {}) {
  sent.push({ url: String(url), method: init.method ?? "GET", body: init.body === undefined ? null : String(init.body) });
  return fetch(url, init);
}

async function keyOf(signer) {
  if (signer.method === "x5c") {
    return importX509(`-----BEGIN CERTIFICATE-----\n${signer.x5c[0]}\n-----END CERTIFICATE-----`, signer.alg);
  }
  const [did] = signer.didUrl.split("#");
  return importJWK(JSON.parse(Buffer.from(did.slice("did:jwk:".length), "base64url").toString()), signer.alg);
}

const unused = () => {
  throw new Error("not part of this flow");
};
const client = new Openid4vpClient({
  callbacks: {
    fetch: recordingFetch,
    hash: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
    generateRandom: (bytes) => randomBytes(bytes),
    clientAuthentication: clientAuthenticationAnonymous(),
    getX509CertificateMetadata: () => ({ sanDnsNames: [], sanUriNames: [] }),
    signJwt: unused,
    decryptJwe: unused,
    async verifyJwt(signer, { compact }) {
      await jwtVerify(compact, await keyOf(signer), { audience: "https://self-issued.me/v2" });
      return { verified: true, signerJwk: {} };
    },
    async encryptJwe({ publicJwk, alg, enc, apu, apv }, plaintext) {
      const encrypting = new CompactEncrypt(Buffer.from(plaintext)).setProtectedHeader({ alg, enc, kid: publicJwk.kid });
      // The library gives apv, and apu where it has a nonce of its own; jose refuses two that are the same.
      if (apv !== apu) {
        const info = (text) => Buffer.from(text, "base64url");
        encrypting.setKeyManagementParameters({ ...(apu && { apu: info(apu) }), ...(apv && { apv: info(apv) }) });
      }
      return { jwe: await encrypting.encrypt(await importJWK(publicJwk, alg)), encryptionJwk: publicJwk };
    },
  },
});

const { params } = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: asked.link });
const resolved = await client.resolveOpenId4vpAuthorizationRequest({
  authorizationRequestPayload: params,
  wallet: {
    nonce: "wallet-nonce",
    metadata: { vp_formats_supported: { "dc+sd-jwt": { "sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"] } } },
  },
});
const request = resolved.authorizationRequestPayload;
const holder = new SDJwtVcInstance({
  hasher: digest,
  hashAlg: "sha-256",
  saltGenerator: generateSalt,
  kbSigner: await ES256.getSigner(asked.key),
  kbSignAlg: "ES256",
});
const vpToken = {};
for (const query of resolved.dcql.query.credentials) {
  const frame = Object.fromEntries(query.claims.map(({ path }) => [path[0], true]));
  const binding = { iat: Math.floor(Date.now() / 1000), aud: request.client_id, nonce: request.nonce };
  vpToken[query.id] = [await holder.present(asked.credential, frame, { kb: { payload: binding } })];
}
const encrypted = request.response_mode === "direct_post.jwt";
const response = await client.createOpenid4vpAuthorizationResponse({
  authorizationRequestPayload: request,
  authorizationResponsePayload: { vp_token: vpToken },
  jarm: encrypted
    ? {
        encryption: { nonce: request.nonce },
        serverMetadata: {
          authorization_signing_alg_values_supported: [],
          authorization_encryption_alg_values_supported: ["ECDH-ES"],
          authorization_encryption_enc_values_supported: [asked.enc ?? "A128GCM"],
        },
      }
    : undefined,
});
const { response: answer } = await client.submitOpenid4vpAuthorizationResponse({
  authorizationRequestPayload: request,
  authorizationResponsePayload: response.authorizationResponsePayload,
  jarm: encrypted ? response.jarm : undefined,
});
process.stdout.write(
  JSON.stringify({
    version: resolved.version,
    prefix: resolved.client.prefix,
    wallet_nonce: request.wallet_nonce ?? null,
    purpose: request.purpose,
    sent,
    status: answer.status,
    answer: await answer.json(),
  }),
);
