import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

const { findBinary } = createRequire(import.meta.url)('../dist/binary.js');
const name = process.platform === 'win32' ? 'oxmq.exe' : 'oxmq';
let root;
let own;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'oxmq-'));
  own = join(root, 'bindings/node');
});
after(() => rmSync(root, { recursive: true }));

function put(...path) {
  const file = join(root, ...path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '');
  return file;
}

test('each place is looked at in its turn', () => {
  const env = { PATH: join(root, 'path') };
  assert.throws(() => findBinary(undefined, env, own), /was not found: .*OXMQ_BINARY.*PATH.*cargo build --release/s);
  const onPath = put('path', name);
  assert.equal(findBinary(undefined, env, own), onPath);
  const release = put('target/release', name);
  assert.equal(findBinary(undefined, env, own), onPath, 'a folder `target` of something else is not ours');
  put('crates/oxmq-cli/Cargo.toml');
  assert.equal(findBinary(undefined, env, own), release);
  const debug = put('target/debug', name);
  utimesSync(release, 1, 1);
  assert.equal(findBinary(undefined, env, own), debug, 'the newer one');
  const elsewhere = put('elsewhere/debug', name);
  assert.equal(findBinary(undefined, { ...env, CARGO_TARGET_DIR: join(root, 'elsewhere') }, own), elsewhere);
  const beside = put('bindings/node/bin', name);
  assert.equal(findBinary(undefined, env, own), beside);
  assert.equal(findBinary(undefined, { ...env, OXMQ_BINARY: release }, own), release);
  assert.equal(findBinary(debug, { ...env, OXMQ_BINARY: release }, own), debug);
});

test('what was named is not replaced by another one', () => {
  assert.throws(() => findBinary(join(root, 'none'), {}, own), /the option `binary` says .*none/);
  assert.throws(() => findBinary(undefined, { OXMQ_BINARY: root }, own), /OXMQ_BINARY says .*no program/);
});
