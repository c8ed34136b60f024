import { type QueueBaseOptions, QueueKeys } from 'bullmq';

import type { Connection } from './connection.js';
import { inside } from './params.js';

/** BullMQ's own names of a queue's keys: what is derived from them is written into jobs, so they are the same on every store. */
type Keys = ReturnType<QueueKeys['getKeys']>;

export type ScopeOptions = QueueBaseOptions<any> & { prefix?: string };

/** A queue as calls name it: the inside of a JSON object. */
export function addressOf(queueName: string, opts: ScopeOptions): string {
  return inside({ queue: queueName, prefix: new QueueKeys(opts.prefix).prefix });
}

/** A queue on a connection: how it is named, and how calls about it are made. What asks the engine is in `OxmqBackend`. */
export abstract class Scope {
  readonly qualifiedName: string;
  readonly keys: Keys;
  private readonly names: QueueKeys;
  /** The start of every call's parameters. */
  private readonly address: string;

  constructor(
    protected readonly connection: Connection,
    protected readonly queueName: string,
    protected readonly opts: ScopeOptions,
    /** A sibling borrows the connection: closing is not up to it. */
    private readonly isSibling = false,
  ) {
    this.names = new QueueKeys(opts.prefix);
    this.qualifiedName = this.names.getQueueQualifiedName(queueName);
    this.keys = this.names.getKeys(queueName);
    this.address = addressOf(queueName, opts);
  }

  get closing(): Promise<void> | undefined {
    return this.connection.closing;
  }

  /** Process id of the engine that runs now, for who watches processes; none while one is started again. */
  get enginePid(): number | undefined {
    return this.connection.enginePid;
  }

  /** Seconds. */
  get minimumBlockTimeout(): number {
    return this.connection.minimumBlockTimeout;
  }

  waitUntilReady(): Promise<void> {
    return this.connection.whenReady();
  }

  async close(force?: boolean): Promise<void> {
    if (!this.isSibling) await this.connection.close(force ?? false);
  }

  async disconnect(): Promise<void> {
    if (!this.isSibling) await this.connection.disconnect();
  }

  setName(name: string): Promise<void> {
    return this.connection.setName(name);
  }

  disconnectBlocking(wait?: boolean): Promise<void> {
    return this.connection.disconnectBlocking(wait);
  }

  reconnectBlocking(): Promise<void> {
    return this.connection.reconnectBlocking();
  }

  on(event: 'ready' | 'error' | 'close', listener: (...args: any[]) => void): this {
    this.connection.on(event, listener);
    return this;
  }

  once(event: 'ready' | 'error' | 'close', listener: (...args: any[]) => void): this {
    this.connection.once(event, listener);
    return this;
  }

  removeListener(event: string, listener: (...args: any[]) => void): this {
    this.connection.removeListener(event, listener);
    return this;
  }

  toKey(type: string): string {
    return this.names.toKey(this.queueName, type);
  }

  /** `prefix:queue:id`; only the prefix may have colons of its own, so it is read from the end, as BullMQ does. */
  parseNodeKey(key: string): { prefix: string; queueName: string; id: string } {
    const parts = key.split(':');
    const id = parts.length > 2 ? parts.pop()! : '';
    const queueName = parts.length > 1 ? parts.pop()! : '';
    return { prefix: parts.join(':'), queueName, id };
  }

  clientName(suffix = ''): string {
    return `${this.names.prefix}:${Buffer.from(this.queueName).toString('base64')}${suffix}`;
  }

  /** Asks the engine; what is `undefined` in `params` means BullMQ's default. Rejects what cannot be JSON. */
  protected ask<T>(method: string, params: object = {}, isBlocking = false): Promise<T> {
    let own: string;
    try {
      own = inside(params);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    const all = own === '' ? this.address : `${this.address},${own}`;
    return this.connection.call(method, all, isBlocking) as Promise<T>;
  }

  /** For operations without a result. */
  protected async tell(method: string, params: object = {}): Promise<void> {
    await this.ask(method, params);
  }
}
