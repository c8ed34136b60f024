import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { LineReader } = createRequire(import.meta.url)('../dist/lines.js');

test('lines are the same however the stream is cut, through the middle of a character too', () => {
  const lines = ['{"a":1}', '', 'zwölf', '😀'.repeat(9), 'x'.repeat(300)];
  const bytes = Buffer.from(`${lines.join('\n')}\nrest`);
  for (let size = 1; size <= bytes.length; size += 1) {
    const reader = new LineReader(400);
    const found = [];
    for (let start = 0; start < bytes.length; start += size) found.push(...reader.push(bytes.subarray(start, start + size)));
    assert.deepEqual(found, lines, `in pieces of ${size}`);
  }
});

test('a line longer than the limit is refused', () => {
  const reader = new LineReader(10);
  reader.push(Buffer.from('12345678\n1234567890'));
  assert.throws(() => reader.push(Buffer.from('1')), /longer than 10 bytes/);
});

test('the time for a long line grows with its length', () => {
  const seconds = megabytes => {
    const reader = new LineReader(2 ** 30);
    const chunk = Buffer.alloc(4096, 'x');
    const start = performance.now();
    for (let index = 0; index < megabytes * 256; index += 1) reader.push(chunk);
    assert.equal(reader.push(Buffer.from('\n'))[0].length, megabytes * 2 ** 20);
    return performance.now() - start;
  };
  seconds(4);
  // Quadratic would be 256 times as long; the machine may be busy.
  assert.ok(seconds(64) < 80 * Math.max(seconds(4), 2));
});
