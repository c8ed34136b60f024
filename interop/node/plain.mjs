// Values as JSON: `undefined` is `{"$undefined": true}` both ways, jobs are all their public getters.

const UNDEFINED = { $undefined: true };

const JOB_GETTERS = [
  'id', 'name', 'data', 'opts', 'queueQualifiedName', 'queueName', 'prefix', 'progress', 'returnvalue', 'stacktrace',
  'delay', 'priority', 'timestamp', 'attemptsStarted', 'attemptsMade', 'stalledCounter', 'failedReason',
  'deferredFailure', 'finishedOn', 'processedOn', 'parentKey', 'parent', 'deduplicationId', 'repeatJobKey', 'token',
  'processedBy',
];

const isJob = value => typeof value?.updateProgress === 'function' && typeof value.asJSON === 'function';

/** A value of BullMQ's as JSON. */
export function plain(value) {
  if (value === undefined) return UNDEFINED;
  if (isJob(value)) return Object.fromEntries(JOB_GETTERS.map(name => [name, plain(value[name])]));
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Error) return { name: value.name, message: value.message, code: value.code };
  if (value && typeof value === 'object') {
    if (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) return String(value);
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  }
  return value;
}

/** The way back. */
export function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value && typeof value === 'object') {
    if (value.$undefined === true) return undefined;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, revive(inner)]));
  }
  return value;
}
