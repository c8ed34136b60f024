// The jobs of a producer: the twin of `plan` in `src/soak.rs`. What should become of a job is in its name and data.

export function plan(run, n) {
  const own = n % 2 === 0 ? {} : { jobId: `${run}-${n}` };
  const data = { run, n, text: 'ü/\u007f', fails: n % 20 === 6 ? 2 : 1, message: 'planned', ms: 20 + (n % 50) * 5 };
  switch (n % 10) {
    case 4: return { name: 'echo', data, opts: { ...own, priority: 1 + (n % 7) } };
    case 5: return { name: 'echo', data, opts: { ...own, delay: 50 + (n % 11) * 25 } };
    case 6: return { name: 'throws', data, opts: { ...own, attempts: 3, backoff: { type: 'fixed', delay: 20 } } };
    case 7: return { name: 'fail', data, opts: { ...own, attempts: 2 } };
    case 8: return { name: 'slow', data, opts: own };
    case 9: return { name: 'echo', data, opts: { ...own, lifo: true } };
    default: return { name: 'echo', data, opts: own };
  }
}
