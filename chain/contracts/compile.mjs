// Builds or checks CheckpointAnchor.json, the committed compiler input, ABI and bytecode of the contract, with the
// compiler that `npm ci` installs and nothing else.
//   node chain/contracts/compile.mjs build    writes the file
//   node chain/contracts/compile.mjs check    compiles anew and exits 1 where the file differs
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const solc = createRequire(import.meta.url)('solc')
const source = 'src/CheckpointAnchor.sol'
const artifactPath = fileURLToPath(new URL('CheckpointAnchor.json', import.meta.url))

const input = {
  language: 'Solidity',
  sources: { [source]: { content: readFileSync(new URL(source, import.meta.url), 'utf8') } },
  // The same settings stand in foundry.toml. Paris: without PUSH0 the bytecode runs on every EVM chain, old or new.
  settings: {
    evmVersion: 'paris',
    optimizer: { enabled: true, runs: 10000 },
    outputSelection: { [source]: { CheckpointAnchor: ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
  },
}

const verb = process.argv[2]
if (verb !== 'build' && verb !== 'check') {
  console.error('usage: node compile.mjs build|check')
  process.exit(2)
}

const output = JSON.parse(solc.compile(JSON.stringify(input)))
if (output.errors) {
  output.errors.forEach((error) => console.error(error.formattedMessage))
  process.exit(2)
}
const { abi, evm } = output.contracts[source].CheckpointAnchor
const artifact = {
  compiler: solc.version(),
  input,
  abi,
  bytecode: '0x' + evm.bytecode.object,
  deployedBytecode: '0x' + evm.deployedBytecode.object,
}
const text = JSON.stringify(artifact, null, 1) + '\n'

if (verb === 'build') {
  writeFileSync(artifactPath, text)
} else if (!existsSync(artifactPath) || readFileSync(artifactPath, 'utf8') !== text) {
  console.error('CheckpointAnchor.json is not what the sources compile to: run compile.mjs build and commit it')
  process.exit(1)
}
