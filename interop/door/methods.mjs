// Every public method and getter of BullMQ's classes that a program can call: each must be called by one of the programs.
// `hidden` are those which TypeScript does not let a program call (protected or private), so that a new version's methods
// are noticed.

const EMITTER = ['emit', 'on', 'once', 'off'];
const HIDDEN = ['createBackend', 'Job', 'base64Name', 'clientName', 'checkConnectionError'];
const BASE = ['waitUntilReady', 'getBackend', 'close', 'disconnect', 'trace'];

export const METHODS = {
  JobScheduler: {
    instance: ['upsertJobScheduler', 'removeJobScheduler', 'getScheduler', 'getJobSchedulers', 'getSchedulersCount', 'isJobScheduler'],
    hidden: [
      ...HIDDEN, ...BASE, 'emit', 'getNextJobOpts', 'getSchedulerData', 'transformSchedulerData', 'getTemplateFromJSON',
      'getSchedulerNextJobId',
    ],
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
    hidden: [...HIDDEN, 'addJob', 'commandByType', 'sanitizeJobTypes', 'baseGetClients', 'parseClientList'],
  },
  Worker: {
    fixed: ['RateLimitError'],
    instance: [
      ...EMITTER, ...BASE,
      'run', 'pause', 'resume', 'isPaused', 'isRunning', 'getNextJob', 'processJob', 'startStalledCheckTimer',
      'cancelJob', 'cancelAllJobs', 'rateLimit', 'extendJobLocks', 'concurrency', 'delay', 'jobScheduler',
      'minimumBlockTimeout', 'maximumBlockTimeout',
    ],
    hidden: [
      ...HIDDEN, 'createLockManager', 'createSandbox', 'callProcessJob', 'createJob', 'waitForRateLimit', 'mainLoop', '_getNextJob',
      'isRateLimited', 'moveToActive', 'waitForJob', 'getBlockTimeout', 'getRateLimitDelay', 'updateDelays', 'nextJobFromJobData',
      'getUnrecoverableErrorMessage', 'handleCompleted', 'handleFailed', 'stalledChecker', 'whenCurrentJobsFinished',
      'retryIfFailed', 'moveStalledJobsToWait', 'moveLimitedBackToWait',
    ],
  },
  QueueEventsProducer: {
    instance: ['publishEvent', 'close', 'waitUntilReady'],
    hidden: [...HIDDEN, 'emit', 'getBackend', 'disconnect', 'trace'],
  },
  QueueEvents: {
    instance: [...EMITTER, 'run', 'close', 'waitUntilReady', 'getBackend', 'disconnect'],
    hidden: [...HIDDEN, 'consumeEvents', 'trace'],
  },
  FlowProducer: {
    instance: [...EMITTER, 'add', 'addBulk', 'getFlow', 'getBackend', 'waitUntilReady', 'close', 'disconnect'],
    hidden: [
      'Job', 'addNode', 'collectFlowEntry', 'addNodes', 'getNode', 'validateFlowJobs', 'addChildren', 'getChildren',
      'queueFromNode', 'toFlowError',
    ],
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
    hidden: [
      'createBackend', 'shouldRetryJob', 'getSpanOperation', 'recordJobMetrics', 'isInState', 'validateOptions',
      'updateStacktrace', 'setSpanJobAttributes',
      // It is public, and takes a client of Redis: a part of BullMQ's own backend.
      'addJob',
    ],
  },
};
