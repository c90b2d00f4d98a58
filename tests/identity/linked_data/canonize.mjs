// Canonicalizes with jsonld.js what stands on the standard input: {contexts: {url: document}, documents: [...]}.
import jsonld from "jsonld";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { contexts, documents } = JSON.parse(Buffer.concat(chunks));

const documentLoader = async (url) => {
  if (!(url in contexts)) throw new Error("a context that was not given");
  return { contextUrl: null, documentUrl: url, document: contexts[url] };
};
const options = { algorithm: "RDFC-1.0", format: "application/n-quads", safe: true, documentLoader };
const canonical = [];
for (const document of documents) canonical.push(await jsonld.canonize(document, options));
process.stdout.write(JSON.stringify(canonical));
