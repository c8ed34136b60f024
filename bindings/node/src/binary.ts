import { existsSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const NAME = process.platform === 'win32' ? 'oxmq.exe' : 'oxmq';

/** The folder of this package: the compiled files are in `dist`. */
const PACKAGE = resolve(__dirname, '..');

/**
 * The program `oxmq`, as an absolute path. Looked for in this order: the option `binary`, `OXMQ_BINARY`, `bin/` of this
 * package, the build folder of the repository that this package is a part of, `PATH`.
 *
 * Throws an error that names every place when there is none. What was named explicitly is not replaced by another one.
 */
export function findBinary(
  option: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
  own: string = PACKAGE,
): string {
  if (option !== undefined) return named(option, 'the option `binary`');
  if (env['OXMQ_BINARY']) return named(env['OXMQ_BINARY'], 'the environment variable OXMQ_BINARY');
  const beside = join(own, 'bin', NAME);
  if (isFile(beside)) return beside;
  const built = newestBuild(resolve(own, '../..'), env);
  if (built) return built;
  const path = (env['PATH'] ?? '').split(delimiter).filter(folder => folder !== '');
  for (const folder of path) {
    const candidate = resolve(folder, NAME);
    if (isFile(candidate)) return candidate;
  }
  throw new Error(
    `The program ${NAME} was not found: neither the option \`binary\` nor OXMQ_BINARY is set, there is no ${beside}, ` +
      `no build of the repository in ${join(own, '../../target')}, and none of the ${path.length} folders of PATH ` +
      'has it. Build it with `cargo build --release` in the repository, or install it with ' +
      '`cargo install --path crates/oxmq-cli`, or set OXMQ_BINARY to where it is.',
  );
}

function named(path: string, by: string): string {
  const absolute = resolve(path);
  if (!isFile(absolute)) throw new Error(`${by} says ${path}, but there is no program ${absolute}.`);
  return absolute;
}

/** In a checkout both profiles may have been built: the later one is what its developer means. */
function newestBuild(root: string, env: NodeJS.ProcessEnv): string | undefined {
  if (!existsSync(join(root, 'crates/oxmq-cli/Cargo.toml'))) return undefined;
  const target = resolve(root, env['CARGO_TARGET_DIR'] ?? 'target');
  const builds = ['release', 'debug'].map(profile => join(target, profile, NAME)).filter(isFile);
  const ageOf = (path: string) => statSync(path).mtimeMs;
  return builds.sort((one, other) => ageOf(other) - ageOf(one))[0];
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
