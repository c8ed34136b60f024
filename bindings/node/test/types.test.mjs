import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'));

for (const [kind, file] of [
  ['an ES module', 'fixtures/consumer.mts'],
  ['a CommonJS module', 'fixtures/consumer.cts'],
]) {
  test(`the types are right for ${kind}`, () => {
    const flags = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'node16', '--types', 'node'];
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...flags, file], { cwd: here, encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
}
