// All that can be seen of a queue through BullMQ's getters.

const STATES = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children', 'completed', 'failed'];

const attempt = fn => fn().catch(error => ({ thrown: { error: error.name, message: error.message } }));
const parsed = text => (text === undefined ? undefined : JSON.parse(text));
const keep = object => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

async function jobOf(queue, job, hideStacks) {
  const json = job.asJSON();
  const { logs, count } = await queue.getJobLogs(job.id);
  const children = await job.getDependenciesCount();
  const family = Object.values(children).some(n => n > 0) ? await job.getDependencies() : undefined;
  if (family) family.unprocessed?.sort();
  return keep({
    ...json,
    data: parsed(json.data),
    returnvalue: parsed(json.returnvalue),
    stacktrace: hideStacks ? parsed(json.stacktrace)?.map(() => '<stack>') : parsed(json.stacktrace),
    failedReason: job.failedReason,
    delay: job.delay,
    priority: job.priority,
    finishedOn: job.finishedOn,
    processedOn: job.processedOn,
    processedBy: job.processedBy,
    deferredFailure: job.deferredFailure,
    stalledCounter: job.stalledCounter,
    logs: count ? logs : undefined,
    children: family,
  });
}

/** `owners` are the deduplication ids that are asked for; of stacks only the number is shown, if so said. */
export async function snapshot(queue, owners = [], hideStacks = false) {
  const order = {};
  const jobs = {};
  for (const state of STATES) {
    const found = await queue.getJobs([state], 0, -1, true);
    if (!found.length) continue;
    order[state] = found.map(job => job.id);
    for (const job of found) jobs[job.id] = await jobOf(queue, job, hideStacks);
  }
  const deduplication = {};
  for (const id of owners) deduplication[id] = await queue.getDeduplicationJobId(id);
  return {
    order,
    jobs,
    deduplication,
    counts: await queue.getJobCounts(),
    paused: await queue.isPaused(),
    maxed: await queue.isMaxed(),
    meta: await queue.getMeta(),
    schedulers: await attempt(() => queue.getJobSchedulers(0, -1, true)),
    metrics: { completed: await queue.getMetrics('completed'), failed: await queue.getMetrics('failed') },
  };
}
