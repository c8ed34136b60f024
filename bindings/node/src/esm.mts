// One copy for both module systems, so that a program which mixes them still has one engine per store.
export { OxmqBackend, oxmq, oxmq as default } from './index.js';
export type { OxmqConnectionOptions, OxmqOptions } from './index.js';
