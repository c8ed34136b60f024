import { Engine } from './engine.js';

/** The engines of this program that are in use, by program, folder and URL. */
const engines = new Map<string, Engine>();

/** The engine of a store; all objects that name the same one share it. `folder`: what a relative path in `url` starts from. */
export function engineOf(binary: string, url: string, folder: string): Engine {
  const key = JSON.stringify([binary, folder, url]);
  const running = engines.get(key);
  if (running) return running;
  const engine: Engine = new Engine(binary, url, folder, () => {
    if (engines.get(key) === engine) engines.delete(key);
  });
  engines.set(key, engine);
  return engine;
}
