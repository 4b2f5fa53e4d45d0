// An independent implementation at work: Digital Bazaar's libraries, and nothing of ours.
//
// Reads one JSON object from standard input: `contexts` (documents by URL), `issue` (credentials without seal),
// `verify` (sealed credentials) and `present` (with `challenge` and `domain`), the presentations to verify.
// Writes what it issued with each suite, the same in a presentation, and its verdicts.
import * as didKey from '@digitalbazaar/did-method-key';
import * as Ed25519Multikey from '@digitalbazaar/ed25519-multikey';
import * as vc from '@digitalbazaar/vc';
import {createSignCryptosuite, createVerifyCryptosuite} from '@digitalbazaar/eddsa-jcs-2022-cryptosuite';
import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import {cryptosuite as rdfc} from '@digitalbazaar/eddsa-rdfc-2022-cryptosuite';

const chunks = [];
for await (const chunk of process.stdin) {
  chunks.push(chunk);
}
const asked = JSON.parse(Buffer.concat(chunks).toString());

const driver = didKey.driver();
driver.use({multibaseMultikeyHeader: 'z6Mk', fromMultibase: Ed25519Multikey.from});

async function documentLoader(url) {
  const document = url.startsWith('did:key:') ? await driver.get({url}) : asked.contexts[url];
  if (!document) {
    throw new Error(`${url} is not known here`);
  }
  return {contextUrl: null, documentUrl: url, document};
}

const key = await Ed25519Multikey.generate();
const did = `did:key:${key.publicKeyMultibase}`;
key.id = `${did}#${key.publicKeyMultibase}`;
key.controller = did;
const signers = {
  'eddsa-jcs-2022': () => new DataIntegrityProof({signer: key.signer(), cryptosuite: createSignCryptosuite()}),
  'eddsa-rdfc-2022': () => new DataIntegrityProof({signer: key.signer(), cryptosuite: rdfc}),
};
const readers = [createVerifyCryptosuite(), rdfc].map(cryptosuite => new DataIntegrityProof({cryptosuite}));
const {challenge, domain} = asked;

const issued = [];
const presented = [];
for (const [suite, signer] of Object.entries(signers)) {
  const sealed = [];
  for (const credential of asked.issue) {
    sealed.push(await vc.issue({credential: {...credential, issuer: did}, suite: signer(), documentLoader}));
  }
  issued.push(...sealed);
  const presentation = vc.createPresentation({verifiableCredential: sealed, holder: did, version: 2.0});
  presented.push(
    await vc.signPresentation({presentation, suite: signer(), challenge, domain, documentLoader}));
}

const verdict = ({verified, error}) => ({verified, error: error ? JSON.stringify(error) : ''});
const credentials = [];
for (const credential of asked.verify) {
  credentials.push(verdict(await vc.verifyCredential({credential, suite: readers, documentLoader})));
}
const presentations = [];
for (const presentation of asked.present) {
  presentations.push(
    verdict(await vc.verify({presentation, suite: readers, challenge, domain, documentLoader})));
}
process.stdout.write(JSON.stringify({did, issued, presented, credentials, presentations}));
