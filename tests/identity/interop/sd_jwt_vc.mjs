// npm's @sd-jwt/sd-jwt-vc as issuer, holder and verifier: one JSON command on stdin, one JSON answer on stdout.
// It sees public keys, and private ones only of the part that it plays.
import { createHeaderAndPayload, StatusList } from "@sd-jwt/jwt-status-list";
import { digest, ES256, generateSalt } from "@sd-jwt/crypto-nodejs";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

const common = { hasher: digest, hashAlg: "sha-256", saltGenerator: generateSalt };

const commands = {
  async issue({ key, claims, disclosable, header }) {
    const issuer = new SDJwtVcInstance({ ...common, signer: await ES256.getSigner(key), signAlg: "ES256" });
    return issuer.issue(claims, { _sd: disclosable }, { header });
  },

  async present({ key, sd_jwt, names, binding }) {
    const holder = new SDJwtVcInstance({ ...common, kbSigner: await ES256.getSigner(key), kbSignAlg: "ES256" });
    const frame = Object.fromEntries(names.map((name) => [name, true]));
    return holder.present(sd_jwt, frame, { kb: { payload: binding } });
  },

  async verify({ issuer_jwk, presentation, nonce, now_s, status_list }) {
    const verifier = new SDJwtVcInstance({
      ...common,
      verifier: await ES256.getVerifier(issuer_jwk),
      kbVerifier: async (data, signature, payload) => (await ES256.getVerifier(payload.cnf.jwk))(data, signature),
      statusListFetcher: async () => status_list,
    });
    const options = { currentDate: now_s };
    const { payload, kb } = await verifier.verify(presentation, nonce ? { ...options, keyBindingNonce: nonce } : options);
    return { payload, binding: kb?.payload ?? null };
  },

  async publish({ key, payload, statuses, header }) {
    const list = createHeaderAndPayload(new StatusList(statuses, 2), payload, { alg: "ES256", ...header });
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const input = `${part(list.header)}.${part(list.payload)}`;
    return `${input}.${await (await ES256.getSigner(key))(input)}`;
  },
};

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { command, ...parameters } = JSON.parse(Buffer.concat(chunks).toString());
try {
  process.stdout.write(JSON.stringify({ result: await commands[command](parameters) }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: error.message }));
}
