import { Backoff } from './backoff.js';
import { Child } from './child.js';
import type { Connection } from './connection.js';
import { fromWire, lost } from './errors.js';
import { isReply, type Message, type Notification, type Reply } from './protocol.js';
import { forget, later, soon } from './time.js';

/** Calls that the engine may have before it and not have answered. The rest waits here, in order; blocking ones do not count. */
const UNANSWERED_MAX = 4096;

/** Characters of calls without an answer. Past it calls are refused: the program makes them faster than a disk. */
const TEXT_MAX = 256 * 1024 * 1024;

/** Characters that are put into one write. */
const WRITE_MAX = 1024 * 1024;

/** An engine that lived this long did not fall over its start: the next one may start without a growing pause. */
const STABLE_MS = 10_000;

/** One request, from the moment it is made until it is answered. */
export interface Call {
  readonly id: number;
  readonly method: string;
  readonly connection: Connection;
  /** Answered when something happens: it does not hold up others, and ends with `null` when the engine does. */
  readonly isBlocking: boolean;
  /** May be sent to a second engine if the first dies before it answers. */
  readonly isRepeatable: boolean;
  /** The request as it is written. */
  readonly line: string;
  /** How often it was written. */
  sent: number;
  /** What came for it, as long as a call of the same object before it has no answer. */
  reply?: Reply;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/**
 * Calls of one object that were sent and have not come to their end, in the order in which they were sent. They end in that order, too, as on
 * a connection to Redis: a program may rely on the first promise being the first to be settled. Blocking ones are not among them.
 */
export type InTurn = Set<Call>;

/**
 * The engine of one store: one process, used by all BullMQ objects of this program that name the same store, started again
 * when it dies. Calls are written in the order in which they are made, those of one turn of the event loop in one write.
 */
export class Engine {
  private readonly connections = new Map<number, Connection>();
  private readonly unanswered = new Map<number, Call>();
  private readonly backoff = new Backoff();
  private outbox: Call[] = [];
  private outboxHead = 0;
  private inTurn = 0;
  private text = 0;
  private nextId = 1;
  private child: Child | undefined;
  private restart: NodeJS.Timeout | undefined;
  private isPumpDue = false;
  /** Starts in a row after which no object could be opened. */
  private failedStarts = 0;

  constructor(
    private readonly binary: string,
    private readonly url: string,
    private readonly folder: string,
    /** Called when the last object is closed: who comes later needs another engine. */
    private readonly onIdle: () => void,
  ) {}

  /** Process id of the engine that runs now. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** A number for a request or an object; unique in this engine, over restarts too. */
  takeId(): number {
    return this.nextId++;
  }

  /** Takes up a new object; its `onStart` is called for this process and each later one. */
  attach(connection: Connection): void {
    this.connections.set(connection.id, connection);
    if (this.child) connection.onStart();
    else if (this.restart === undefined) this.start();
  }

  /** Forgets an object. With the last one the process ends; resolves when it is gone. */
  async detach(connection: Connection): Promise<void> {
    if (!this.connections.delete(connection.id) || this.connections.size > 0) return;
    this.onIdle();
    forget(this.restart);
    const child = this.child;
    this.child = undefined;
    await child?.end();
  }

  /** Counts the text of a call, until `release`. Throws if there is too much. */
  reserve(call: Call): void {
    if (this.text + call.line.length > TEXT_MAX) {
      throw new Error(
        `${call.method} was not sent: calls of more than ${TEXT_MAX / 1024 / 1024} MiB wait for the oxmq engine. ` +
          'Await calls before you make more.',
      );
    }
    this.text += call.line.length;
  }

  /** A reserved call came to its end. */
  release(call: Call): void {
    this.text -= call.line.length;
  }

  /** Sends a reserved call behind those that were submitted before. */
  submit(call: Call): void {
    this.outbox.push(call);
    this.schedulePump();
  }

  /** An object was opened: this engine works. */
  onOpened(): void {
    this.failedStarts = 0;
  }

  private start(): void {
    this.restart = undefined;
    try {
      this.child = this.spawn();
    } catch (error) {
      // Node throws what it does not know for an everyday fault, such as a lack of memory.
      this.onEnded(0, `the oxmq engine could not be started (${(error as Error).message})`);
      return;
    }
    for (const connection of this.connections.values()) connection.onStart();
  }

  private spawn(): Child {
    const child: Child = new Child(this.binary, this.url, this.folder, {
      message: message => this.receive(message),
      drained: () => this.schedulePump(),
      ended: why => {
        if (this.child === child) this.onEnded(child.age, why);
      },
    });
    return child;
  }

  private onEnded(age: number, why: string): void {
    this.child = undefined;
    this.failedStarts += 1;
    if (age >= STABLE_MS) this.backoff.reset();
    const pause = this.backoff.next();
    this.restart = later(() => this.start(), pause);

    // What was answered is done, whatever became of calls before it.
    for (const connection of this.connections.values()) {
      for (const call of connection.inTurn) {
        this.leaveTurn(call);
        if (call.reply) settle(call, call.reply);
      }
    }
    const cut = [...this.unanswered.values()];
    const unsent = this.outbox.slice(this.outboxHead);
    this.unanswered.clear();
    this.outbox = [];
    this.outboxHead = 0;
    this.inTurn = 0;
    for (const call of cut) {
      if (call.isBlocking) call.resolve(null);
      // Twice at most: it may be what kills engines.
      else if (call.isRepeatable && call.sent === 1) call.connection.takeBack(call);
      else call.reject(lost(call.method, why));
    }
    for (const call of unsent) call.connection.takeBack(call);
    const error = new Error(`${why}; the next one starts in ${pause} ms`);
    for (const connection of [...this.connections.values()]) connection.onLost(error, this.failedStarts);
  }

  private schedulePump(): void {
    if (this.isPumpDue) return;
    this.isPumpDue = true;
    // Behind everything that this turn of the loop has to do, so that all of its calls go out together.
    soon(() => {
      this.isPumpDue = false;
      this.pump();
    });
  }

  private pump(): void {
    const child = this.child;
    if (!child) return;
    let batch = '';
    while (this.outboxHead < this.outbox.length && this.inTurn < UNANSWERED_MAX && !child.isFull) {
      const call = this.outbox[this.outboxHead++]!;
      batch += call.line;
      call.sent += 1;
      this.unanswered.set(call.id, call);
      if (!call.isBlocking) {
        this.inTurn += 1;
        call.connection.inTurn.add(call);
      }
      if (batch.length >= WRITE_MAX) {
        child.write(batch);
        batch = '';
      }
    }
    if (batch !== '') child.write(batch);
    this.shrinkOutbox();
  }

  /** The sent head is dropped when it is the larger part, so that each call is moved once at most on average. */
  private shrinkOutbox(): void {
    if (this.outboxHead * 2 < this.outbox.length) return;
    this.outbox = this.outbox.slice(this.outboxHead);
    this.outboxHead = 0;
  }

  private receive(message: Message): void {
    if (!isReply(message)) {
      this.notify(message);
      return;
    }
    const call = this.unanswered.get(message.id);
    if (!call) return;
    this.unanswered.delete(message.id);
    if (call.isBlocking) {
      settle(call, message);
      return;
    }
    call.reply = message;
    for (const first of call.connection.inTurn) {
      if (!first.reply) break;
      this.leaveTurn(first);
      settle(first, first.reply);
    }
    if (this.outboxHead < this.outbox.length) this.schedulePump();
  }

  private leaveTurn(call: Call): void {
    call.connection.inTurn.delete(call);
    this.inTurn -= 1;
  }

  private notify(message: Notification): void {
    if (message.method !== 'event') return;
    const { client, event, error } = message.params;
    this.connections.get(client)?.onEvent(event, error && fromWire(error));
  }
}

function settle(call: Call, reply: Reply): void {
  if (reply.error) call.reject(fromWire(reply.error));
  else call.resolve(reply.result ?? null);
}
