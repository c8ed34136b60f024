import { EventEmitter } from 'node:events';

import { Backoff } from './backoff.js';
import type { Call, Engine, InTurn } from './engine.js';
import { closed, lost, unavailable } from './errors.js';
import { Pace } from './pace.js';
import type { Role } from './protocol.js';
import { forget, later, within } from './time.js';

/**
 * Starts in a row that may fail before the waiting calls of a producer are refused with the reason (one to two seconds).
 * Workers and listeners of events wait on: they have nobody to tell, and go on by themselves when the engine does.
 */
const FAILED_STARTS_MAX = 5;

/** How long a close waits for calls that were made before it. */
const SETTLE_WAIT_MS = 30_000;

/** How long a close waits for the engine to say that it has forgotten the object. */
const CLOSE_WAIT_MS = 5000;

/**
 * What a worker does by itself around its jobs. Sent to the next engine when one dies, as BullMQ would wait 15 s before it
 * did so. Nothing is done twice by that: the lock of the job is gone once a call that moves it has been applied, and a job
 * that was taken by a call whose answer was lost is recovered as stalled, as it would be anyway.
 */
const REPEATABLE = new Set([
  'extendLock',
  'extendLocks',
  'moveJobFromActiveToWait',
  'moveStalledJobsToWait',
  'moveToActive',
  'moveToCompleted',
  'moveToDelayed',
  'moveToFailed',
  'moveToWaitingChildren',
  'retryJob',
]);

interface Opened {
  minimumBlockTimeout?: number;
}

/**
 * What a connection to Redis is for BullMQ: one object's line to the engine. Emits `ready`, `error` and `close`.
 *
 * Its calls are sent once the engine has opened it and are kept here until then, also while an engine that died is started
 * again. So a call is either in the hands of an engine that knows the object, or has certainly not been made.
 */
export class Connection extends EventEmitter {
  readonly id: number;
  minimumBlockTimeout = 0.001;
  closing: Promise<void> | undefined;
  /** For the calls that BullMQ makes in a loop. */
  readonly pace = new Pace();
  /** Kept by the engine. */
  readonly inTurn: InTurn = new Set();
  private state: 'waiting' | 'open' | 'closed' = 'waiting';
  private held: Call[] = [];
  private readonly readers = new Set<{ resolve(): void; reject(error: Error): void }>();
  /** Calls that are not blocking and not answered yet. */
  private readonly pending = new Set<Call>();
  private readonly blocked = new Set<Call>();
  private settled: (() => void) | undefined;
  private release: Promise<void> | undefined;
  private name: string | undefined;
  private isBlockingOff = false;
  private reopening: NodeJS.Timeout | undefined;
  private readonly backoff = new Backoff();

  /** `address`: the object's own queue, as the inside of a JSON object; it is listed under that. */
  constructor(
    private readonly engine: Engine,
    private readonly role: Role,
    private readonly address: string,
    private readonly workerName: string | undefined,
  ) {
    super();
    // Each job scheduler of a queue listens to the queue's connection.
    this.setMaxListeners(0);
    this.id = engine.takeId();
    engine.attach(this);
  }

  get enginePid(): number | undefined {
    return this.engine.pid;
  }

  /** Resolves once the engine has opened this object. A producer's rejects when no engine can be started. */
  whenReady(): Promise<void> {
    if (this.state === 'open') return Promise.resolve();
    if (this.state === 'closed') return Promise.reject(closed());
    return new Promise((resolve, reject) => this.readers.add({ resolve, reject }));
  }

  /** Makes a call. `params`: the inside of a JSON object, with the queue that is meant. */
  call(method: string, params: string, isBlocking = false): Promise<unknown> {
    if (this.state === 'closed' || this.closing) return Promise.reject(closed());
    return this.send(method, params, isBlocking);
  }

  /** Names the object in lists. Does not fail: an object that ends before it was named has other things to tell. */
  async setName(name: string): Promise<void> {
    this.name = name;
    await this.call('setName', `${this.address},"name":${JSON.stringify(name)}`).catch(() => {});
  }

  /** Ends the blocking waits of this object, and lets none begin. */
  async disconnectBlocking(wait: boolean | undefined): Promise<void> {
    this.isBlockingOff = true;
    this.pace.stop();
    // Those that have not been sent end here.
    const held = this.held;
    this.held = [];
    for (const call of held) {
      if (call.isBlocking) call.resolve(null);
      else this.held.push(call);
    }
    await this.toggle('disconnectBlocking', wait === undefined ? '' : `"wait":${wait}`);
  }

  async reconnectBlocking(): Promise<void> {
    this.isBlockingOff = false;
    this.pace.resume();
    await this.toggle('reconnectBlocking', '');
  }

  /** Ends at once: what is not answered fails. */
  disconnect(): Promise<void> {
    this.release ??= this.letGo(true);
    return this.release;
  }

  /** Ends when the calls that were made are answered; with `force` at once. */
  close(force: boolean): Promise<void> {
    this.closing ??= (async () => {
      if (!force && !this.release) await this.settle();
      this.release ??= this.letGo(force);
      await this.release;
    })();
    return this.closing;
  }

  /** A process was started: introduces the object to it. */
  onStart(): void {
    const name = this.workerName === undefined ? '' : `,"workerName":${JSON.stringify(this.workerName)}`;
    this.introduce('open', `"role":"${this.role}"${name}`).then(
      result => this.onOpened(result as Opened | null),
      (error: Error) => this.onRefused(error),
    );
    if (this.name !== undefined) ignore(this.introduce('setName', `"name":${JSON.stringify(this.name)}`));
    if (this.isBlockingOff) ignore(this.introduce('disconnectBlocking', ''));
  }

  /** The process is gone. `failedStarts`: how many were in a row without opening an object, this one included. */
  onLost(error: Error, failedStarts: number): void {
    forget(this.reopening);
    const wasOpen = this.state === 'open';
    if (this.state === 'open') this.state = 'waiting';
    this.report(error);
    if (wasOpen) this.emit('close');
    if (failedStarts >= FAILED_STARTS_MAX) this.giveUp(error);
  }

  onEvent(event: 'error' | 'close' | 'ready', error: Error | undefined): void {
    if (event === 'error') this.report(error ?? new Error('the oxmq engine reports an error'));
    else this.emit(event);
  }

  /** A call that was submitted, and that the next process gets because this one died. */
  takeBack(call: Call): void {
    const isWanted = this.pending.has(call) || (this.blocked.has(call) && !this.isBlockingOff);
    if (isWanted) this.held.push(call);
    else call.resolve(null);
  }

  private onOpened(opened: Opened | null): void {
    // `null`: the process died; the next one is asked anew.
    if (opened === null || this.state !== 'waiting') return;
    this.minimumBlockTimeout = opened.minimumBlockTimeout ?? this.minimumBlockTimeout;
    this.state = 'open';
    this.backoff.reset();
    this.engine.onOpened();
    const held = this.held;
    this.held = [];
    for (const call of held) this.engine.submit(call);
    for (const reader of this.readers) reader.resolve();
    this.readers.clear();
    this.emit('ready');
  }

  private onRefused(error: Error): void {
    if (this.state !== 'waiting') return;
    this.report(error);
    this.giveUp(error);
    this.reopening = later(() => this.onStart(), this.backoff.next());
  }

  /** Tells those who wait for an engine, and can be told, that there is none. A worker that stops waits no more either. */
  private giveUp(error: Error): void {
    if (this.role !== 'producer' && !this.isBlockingOff) return;
    const held = this.held;
    this.held = [];
    for (const call of held) call.reject((call.sent > 0 ? lost : unavailable)(call.method, error.message));
    for (const reader of this.readers) reader.reject(error);
    this.readers.clear();
  }

  /** BullMQ forwards errors to who listens; without a listener `emit` would throw. */
  private report(error: Error): void {
    if (this.listenerCount('error') > 0) this.emit('error', error);
  }

  /** Told to the engine that runs now, if there is one; the next one hears it when the object is introduced. */
  private async toggle(method: string, params: string): Promise<void> {
    if (this.state !== 'closed' && this.engine.pid !== undefined) await this.introduce(method, params);
  }

  private send(method: string, params: string, isBlocking: boolean): Promise<unknown> {
    if (isBlocking && this.isBlockingOff && this.state === 'waiting') return Promise.resolve(null);
    const calls = isBlocking ? this.blocked : this.pending;
    return new Promise((resolve, reject) => {
      const call = this.request(method, params, isBlocking, resolve, reject, () => {
        calls.delete(call);
        if (this.pending.size === 0) this.settled?.();
      });
      calls.add(call);
      if (this.state === 'open') this.engine.submit(call);
      else this.held.push(call);
    });
  }

  /** A call of the connection itself: it concerns this process only, and ends with `null` if that dies. */
  private introduce(method: string, params: string): Promise<unknown> {
    const all = params === '' ? this.address : `${this.address},${params}`;
    return new Promise((resolve, reject) => {
      this.engine.submit(this.request(method, all, true, resolve, reject, () => {}));
    });
  }

  /** Makes a call and counts it, until it is answered once, whatever comes later. Throws if too many wait. */
  private request(
    method: string,
    params: string,
    isBlocking: boolean,
    resolve: (result: unknown) => void,
    reject: (error: Error) => void,
    onEnd: () => void,
  ): Call {
    const id = this.engine.takeId();
    const scope = `"params":{"client":${this.id},"now":${Date.now()},${params}}`;
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      this.engine.release(call);
      onEnd();
    };
    const call: Call = {
      id,
      method,
      connection: this,
      isBlocking,
      isRepeatable: this.role === 'worker' && REPEATABLE.has(method),
      line: `{"jsonrpc":"2.0","id":${id},"method":"${method}",${scope}}\n`,
      sent: 0,
      resolve: result => {
        end();
        resolve(result);
      },
      reject: error => {
        end();
        reject(error);
      },
    };
    this.engine.reserve(call);
    return call;
  }

  private settle(): Promise<unknown> {
    if (this.pending.size === 0) return Promise.resolve();
    return within(new Promise<void>(resolve => (this.settled = resolve)), SETTLE_WAIT_MS);
  }

  private async letGo(force: boolean): Promise<void> {
    const wasOpen = this.state === 'open';
    this.state = 'closed';
    this.pace.stop();
    forget(this.reopening);
    this.held = [];
    for (const reader of this.readers) reader.reject(closed());
    this.readers.clear();
    if (wasOpen) await within(this.introduce('close', `"force":${force}`), CLOSE_WAIT_MS);
    for (const call of [...this.blocked, ...this.pending]) call.reject(closed());
    await this.engine.detach(this);
    this.emit('close');
  }
}

/** For calls whose failure another one tells. */
function ignore(promise: Promise<unknown>): void {
  promise.catch(() => {});
}
