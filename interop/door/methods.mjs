// Every public method and getter of BullMQ's classes that a program can call: each must be called by one of the programs.

const EMITTER = ['emit', 'on', 'once', 'off'];
const BASE = ['waitUntilReady', 'getBackend', 'close', 'disconnect', 'trace'];

export const METHODS = {
  JobScheduler: {
    instance: ['upsertJobScheduler', 'removeJobScheduler', 'getScheduler', 'getJobSchedulers', 'getSchedulersCount', 'isJobScheduler'],
  },
  Queue: {
    instance: [
      ...EMITTER, ...BASE,
      'add', 'addBulk', 'upsertJobScheduler', 'getJobScheduler', 'getJobSchedulers', 'getJobSchedulersCount',
      'removeJobScheduler', 'pause', 'resume', 'isPaused', 'isMaxed', 'setGlobalConcurrency', 'removeGlobalConcurrency',
      'setGlobalRateLimit', 'removeGlobalRateLimit', 'rateLimit', 'removeRateLimitKey', 'remove', 'drain', 'clean',
      'obliterate', 'retryJobs', 'promoteJobs', 'trimEvents', 'updateJobProgress', 'addJobLog', 'removeDeduplicationKey',
      'removeDebounceKey', 'removeDeprecatedPriorityKey', 'removeOrphanedJobs', 'getVersion', 'defaultJobOptions',
      'metaValues', 'jobScheduler',
      'getJob', 'getJobs', 'getRanges', 'getWaiting', 'getWaitingChildren', 'getActive', 'getDelayed', 'getPrioritized',
      'getCompleted', 'getFailed', 'getJobState', 'count', 'getJobCounts', 'getJobCountByTypes', 'getCompletedCount',
      'getFailedCount', 'getDelayedCount', 'getActiveCount', 'getPrioritizedCount', 'getWaitingCount',
      'getWaitingChildrenCount', 'getCountsPerPriority', 'getJobLogs', 'getDependencies', 'getDeduplicationJobId',
      'getDebounceJobId', 'getGlobalConcurrency', 'getGlobalRateLimit', 'getRateLimitTtl', 'getMeta', 'getMetrics',
      'exportPrometheusMetrics', 'recordJobCountsMetric', 'getWorkers', 'getWorkersCount', 'getQueueEvents',
    ],
  },
  Worker: {
    fixed: ['RateLimitError'],
    instance: [
      ...EMITTER, ...BASE,
      'run', 'pause', 'resume', 'isPaused', 'isRunning', 'getNextJob', 'processJob', 'startStalledCheckTimer',
      'cancelJob', 'cancelAllJobs', 'rateLimit', 'extendJobLocks', 'concurrency', 'delay', 'jobScheduler',
      'minimumBlockTimeout', 'maximumBlockTimeout',
    ],
  },
  QueueEventsProducer: { instance: ['publishEvent', 'close', 'waitUntilReady'] },
  QueueEvents: { instance: [...EMITTER, 'run', 'close', 'waitUntilReady', 'getBackend', 'disconnect'] },
  FlowProducer: {
    instance: [...EMITTER, 'add', 'addBulk', 'getFlow', 'getBackend', 'waitUntilReady', 'close', 'disconnect'],
  },
  Job: {
    fixed: ['create', 'createBulk', 'fromJSON', 'fromId', 'optsFromJSON', 'addJobLog'],
    instance: [
      'toJSON', 'asJSON', 'asJSONSandbox', 'updateData', 'updateProgress', 'log', 'clearLogs', 'remove',
      'removeUnprocessedChildren', 'removeChildDependency', 'removeDeduplicationKey', 'getState', 'isCompleted', 'isFailed',
      'isDelayed', 'isWaitingChildren', 'isActive', 'isWaiting', 'changeDelay', 'changePriority', 'promote', 'retry',
      'getChildrenValues', 'getIgnoredChildrenFailures', 'getFailedChildrenValues', 'getDependencies',
      'getDependenciesCount', 'waitUntilFinished', 'moveToCompleted', 'moveToFailed', 'moveToDelayed', 'moveToWait',
      'moveToWaitingChildren', 'extendLock', 'toFlowEntry', 'queueName', 'prefix',
    ],
  },
};

/** Not called through the door, and why. */
export const NOT_CALLED = {
  'Job.addJob': 'takes a client of Redis: it is part of BullMQ\'s own backend',
};
