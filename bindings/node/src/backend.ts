import type {
  DependenciesOpts,
  FinishedStatus,
  IQueueBackend,
  JobJson,
  JobProgress,
  JobState,
  JobType,
  JobsOptions,
  KeepJobs,
  MinimalJob,
  MoveToDelayedOpts,
  MoveToWaitingChildrenOpts,
  ParentKeyOpts,
  RepeatableOptions,
  RetryJobOpts,
  RetryOptions,
  StreamReadRaw,
} from 'bullmq';

import { fromWire } from './errors.js';
import { context, moved, next, text } from './params.js';
import type { WireError } from './protocol.js';
import { Scope } from './scope.js';

type Keep = boolean | number | KeepJobs;
type Finished = { result: void | any[]; finishedOn: number };
type Entry = { job: JobJson; jobId: string; parentKeyOpts?: ParentKeyOpts };
type FlowEntry = {
  jobData: JobJson;
  jobId: string;
  parentKeyOpts: ParentKeyOpts;
  prefix: string;
  queueName: string;
};

/** BullMQ's contract of a store, each operation one call to the engine. What an operation does is BullMQ's documentation. */
export class OxmqBackend extends Scope implements IQueueBackend {
  forQueue(queueName: string, prefix?: string): OxmqBackend {
    const opts = prefix === undefined ? this.opts : { ...this.opts, prefix };
    return new OxmqBackend(this.connection, queueName, opts, true);
  }

  // Adding

  addJob(job: JobJson, jobId: string, parentKeyOpts?: ParentKeyOpts): Promise<string> {
    return this.ask('addJob', { job, jobId, parentKeyOpts });
  }

  addJobs(entries: Entry[]): Promise<string[]> {
    return this.ask('addJobs', { entries });
  }

  async addFlow(entries: FlowEntry[]): Promise<[Error | null, string | number][]> {
    const rows = await this.ask<[WireError | null, string | number][]>('addFlow', { entries });
    return rows.map(([error, id]) => [error && fromWire(error), id]);
  }

  addJobScheduler(
    jobSchedulerId: string,
    nextMillis: number,
    templateData: string,
    templateOpts: JobsOptions,
    opts: RepeatableOptions,
    delayedJobOpts: JobsOptions,
    producerId?: string,
  ): Promise<[string, number]> {
    const scheduler = { jobSchedulerId, nextMillis, templateData, templateOpts };
    return this.ask('addJobScheduler', { ...scheduler, opts, delayedJobOpts, producerId });
  }

  updateJobSchedulerNextMillis(
    jobSchedulerId: string,
    nextMillis: number,
    templateData: string,
    delayedJobOpts: JobsOptions,
    producerId?: string,
  ): Promise<string | null> {
    const scheduler = { jobSchedulerId, nextMillis, templateData };
    return this.ask('updateJobSchedulerNextMillis', { ...scheduler, delayedJobOpts, producerId });
  }

  // Working

  async moveToActive(token: string, name?: string): Promise<any[]> {
    const taken = this.ask('moveToActive', { token, name, ctx: context(this.opts) });
    return next(await this.connection.pace.keep(taken)) ?? [];
  }

  moveToCompleted<T = any, R = any, N extends string = string>(
    job: MinimalJob<T, R, N>,
    returnValue: R,
    removeOnComplete: Keep,
    token: string,
    fetchNext: boolean,
  ): Promise<Finished> {
    // A value without JSON text (a cycle) fails this job, not the program.
    return this.finish('moveToCompleted', () => {
      return { job: moved(job), returnValue: text(returnValue), removeOnComplete, token, fetchNext };
    });
  }

  moveToFailed<T = any, R = any, N extends string = string>(
    job: MinimalJob<T, R, N>,
    failedReason: string,
    removeOnFail: Keep,
    token: string,
    fetchNext: boolean,
    fieldsToUpdate?: Record<string, any>,
  ): Promise<Finished> {
    return this.finish('moveToFailed', () => {
      return { job: moved(job), failedReason, removeOnFail, token, fetchNext, fieldsToUpdate };
    });
  }

  private async finish(method: string, params: () => object): Promise<Finished> {
    const { result, finishedOn } = await this.ask<{ result: unknown; finishedOn: number }>(method, {
      ...params(),
      ctx: context(this.opts),
    });
    return { result: next(result), finishedOn };
  }

  async moveToDelayed(
    jobId: string,
    timestamp: number,
    delay: number,
    token?: string,
    opts?: MoveToDelayedOpts,
  ): Promise<void | any[]> {
    const ctx = context(this.opts);
    return next(await this.ask('moveToDelayed', { jobId, timestamp, delay, token, opts, ctx }));
  }

  moveToWaitingChildren(jobId: string, token: string, opts?: MoveToWaitingChildrenOpts): Promise<boolean> {
    return this.ask('moveToWaitingChildren', { jobId, token, opts });
  }

  moveJobFromActiveToWait(jobId: string, token?: string): Promise<number> {
    return this.ask('moveJobFromActiveToWait', { jobId, token });
  }

  retryJob(jobId: string, lifo: boolean, token?: string, opts?: RetryJobOpts): Promise<void> {
    return this.tell('retryJob', { jobId, lifo, token, opts });
  }

  moveStalledJobsToWait(): Promise<string[]> {
    return this.ask('moveStalledJobsToWait', { ctx: context(this.opts) });
  }

  extendLock(jobId: string, token: string, duration: number): Promise<number> {
    return this.ask('extendLock', { jobId, token, duration });
  }

  extendLocks(jobIds: string[], tokens: string[], duration: number): Promise<string[]> {
    return this.ask('extendLocks', { jobIds, tokens, duration });
  }

  waitForJob(blockTimeout: number): Promise<{ member: string; score: number } | null> {
    return this.connection.pace.keep(this.ask('waitForJob', { blockTimeout }, true));
  }

  // A job, by its id

  retryFinishedJob<T = any, R = any, N extends string = string>(
    job: MinimalJob<T, R, N>,
    state: FinishedStatus,
    opts?: RetryOptions,
  ): Promise<void> {
    return this.tell('retryFinishedJob', { job: moved(job), state, opts });
  }

  promote(jobId: string): Promise<void> {
    return this.tell('promote', { jobId });
  }

  async updateData<T = any, R = any, N extends string = string>(job: MinimalJob<T, R, N>, data: T): Promise<void> {
    await this.tell('updateData', { job: { id: job.id }, data: text(data) });
  }

  async updateProgress(jobId: string, progress: JobProgress): Promise<void> {
    await this.tell('updateProgress', { jobId, progress: text(progress) });
  }

  addLog(jobId: string, logRow: string, keepLogs?: number): Promise<number> {
    return this.ask('addLog', { jobId, logRow, keepLogs });
  }

  clearLogs(jobId: string, keepLogs?: number): Promise<void> {
    return this.tell('clearLogs', { jobId, keepLogs });
  }

  changeDelay(jobId: string, delay: number): Promise<void> {
    return this.tell('changeDelay', { jobId, delay });
  }

  changePriority(jobId: string, priority?: number, lifo?: boolean): Promise<void> {
    return this.tell('changePriority', { jobId, priority, lifo });
  }

  remove(jobId: string, removeChildren: boolean): Promise<number> {
    return this.ask('remove', { jobId, removeChildren });
  }

  removeUnprocessedChildren(jobId: string): Promise<void> {
    return this.tell('removeUnprocessedChildren', { jobId });
  }

  removeChildDependency(jobId: string, parentKey: string): Promise<boolean> {
    return this.ask('removeChildDependency', { jobId, parentKey });
  }

  removeDeduplicationKey(deduplicationId: string, jobId: string): Promise<number> {
    return this.ask('removeDeduplicationKey', { deduplicationId, jobId });
  }

  deleteDeduplicationKey(deduplicationId: string): Promise<number> {
    return this.ask('deleteDeduplicationKey', { deduplicationId });
  }

  // The queue as a whole

  retryFinishedJobs(state?: FinishedStatus, count?: number, timestamp?: number): Promise<number> {
    return this.ask('retryFinishedJobs', { state, count, timestamp });
  }

  promoteJobs(count?: number): Promise<number> {
    return this.ask('promoteJobs', { count });
  }

  pause(pause: boolean): Promise<void> {
    return this.tell('pause', { pause });
  }

  drain(delayed: boolean): Promise<void> {
    return this.tell('drain', { delayed });
  }

  cleanJobsByState(state: string, timestamp: number, limit?: number): Promise<string[]> {
    return this.ask('cleanJobsByState', { state, timestamp, limit });
  }

  obliterate(opts: { force: boolean; count: number }): Promise<number> {
    return this.ask('obliterate', { opts });
  }

  removeOrphanedJobs(count?: number, limit?: number): Promise<number> {
    return this.ask('removeOrphanedJobs', { count, limit });
  }

  setRateLimit(expireTimeMs: number): Promise<void> {
    return this.tell('setRateLimit', { expireTimeMs });
  }

  removeRateLimitKey(): Promise<number> {
    return this.ask('removeRateLimitKey');
  }

  removeDeprecatedPriorityKey(): Promise<number> {
    return this.ask('removeDeprecatedPriorityKey');
  }

  setQueueMeta(values: Record<string, string | number>): Promise<number> {
    return this.ask('setQueueMeta', { values });
  }

  getQueueMeta(): Promise<Record<string, string>> {
    return this.ask('getQueueMeta');
  }

  getQueueMetaField(field: string): Promise<string | null> {
    return this.ask('getQueueMetaField', { field });
  }

  getQueueMetaFields(fields: string[]): Promise<(string | null)[]> {
    return this.ask('getQueueMetaFields', { fields });
  }

  hasQueueMetaField(field: string): Promise<boolean> {
    return this.ask('hasQueueMetaField', { field });
  }

  removeQueueMetaFields(fields: string[]): Promise<number> {
    return this.ask('removeQueueMetaFields', { fields });
  }

  // Schedulers

  removeJobScheduler(jobSchedulerId: string): Promise<number> {
    return this.ask('removeJobScheduler', { jobSchedulerId });
  }

  getJobScheduler(id: string): Promise<[any, string | null]> {
    return this.ask('getJobScheduler', { id });
  }

  getJobSchedulerData(key: string): Promise<Record<string, string>> {
    return this.ask('getJobSchedulerData', { key });
  }

  getJobSchedulersRange(start: number, end: number, asc: boolean): Promise<string[]> {
    return this.ask('getJobSchedulersRange', { start, end, asc });
  }

  getJobSchedulersCount(): Promise<number> {
    return this.ask('getJobSchedulersCount');
  }

  isJobScheduler(id: string): Promise<boolean> {
    return this.ask('isJobScheduler', { id });
  }

  // Looking

  getState(jobId: string): Promise<JobState | 'unknown'> {
    return this.ask('getState', { jobId });
  }

  isFinished(jobId: string, returnValue?: boolean): Promise<number | [number, string]> {
    return this.ask('isFinished', { jobId, returnValue });
  }

  isMaxed(): Promise<boolean> {
    return this.ask('isMaxed');
  }

  isJobInState(state: string, jobId: string): Promise<boolean> {
    return this.ask('isJobInState', { state, jobId });
  }

  async getJobData(jobId: string): Promise<JobJson | undefined> {
    return (await this.ask<JobJson | null>('getJobData', { jobId })) ?? undefined;
  }

  getDeduplicationJobId(deduplicationId: string): Promise<string | null> {
    return this.ask('getDeduplicationJobId', { deduplicationId });
  }

  getJobLogs(jobId: string, start: number, end: number, asc: boolean): Promise<{ logs: string[]; count: number }> {
    return this.ask('getJobLogs', { jobId, start, end, asc });
  }

  getRateLimitTtl(maxJobs?: number): Promise<number> {
    return this.ask('getRateLimitTtl', { maxJobs });
  }

  getCounts(types: JobType[], delayedTimestamp?: number): Promise<number[]> {
    return this.ask('getCounts', { types, delayedTimestamp });
  }

  getCountsPerPriority(priorities: number[]): Promise<number[]> {
    return this.ask('getCountsPerPriority', { priorities });
  }

  getRanges(types: JobType[], start?: number, end?: number, asc?: boolean): Promise<[string][]> {
    return this.ask('getRanges', { types, start, end, asc });
  }

  getDependencyCounts(jobId: string, types: string[]): Promise<number[]> {
    return this.ask('getDependencyCounts', { jobId, types });
  }

  getDependencies(jobId: string, opts: DependenciesOpts): ReturnType<IQueueBackend['getDependencies']> {
    return this.ask('getDependencies', { jobId, opts });
  }

  getProcessedChildrenValues(jobId: string): Promise<Record<string, string>> {
    return this.ask('getProcessedChildrenValues', { jobId });
  }

  getIgnoredChildrenFailures(jobId: string): Promise<Record<string, string>> {
    return this.ask('getIgnoredChildrenFailures', { jobId });
  }

  getMetrics(type: 'completed' | 'failed', start?: number, end?: number): Promise<[string[], string[], number]> {
    return this.ask('getMetrics', { type, start, end });
  }

  getClientList(): Promise<string[]> {
    return this.ask('getClientList');
  }

  paginate(
    key: string,
    opts: { start: number; end: number; fetchJobs?: boolean },
  ): ReturnType<IQueueBackend['paginate']> {
    return this.ask('paginate', { key, opts });
  }

  // Events

  trimEvents(maxLength: number): Promise<number> {
    return this.ask('trimEvents', { maxLength });
  }

  publishEvent(fields: Record<string, string | number>, maxEvents: number): Promise<string> {
    return this.ask('publishEvent', { fields, maxEvents });
  }

  readEvents(id: string, blockTimeout: number): Promise<StreamReadRaw> {
    return this.connection.pace.keep(this.ask('readEvents', { id, blockTimeout }, true));
  }
}
