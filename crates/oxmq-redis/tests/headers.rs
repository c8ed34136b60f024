//! The texts of the scripts: each says what it does in the same words, uses what it lists, and nothing that Redis
//! 6.2 does not have.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The commands that scripts may use; Redis 6.2 has all of them.
const COMMANDS: &str = "\
    DECR DECRBY DEL EXISTS EXPIRE GET GETDEL HDEL HEXISTS HGET HGETALL HINCRBY HKEYS HLEN HMGET HSET \
    HSETNX HVALS INCR INCRBY LINDEX LLEN LMOVE LPOP LPOS LPUSH LRANGE LREM LSET LTRIM MGET PERSIST PEXPIRE \
    PTTL PUBLISH RENAME RPOP RPOPLPUSH RPUSH SADD SCARD SET SISMEMBER SMEMBERS SREM TYPE UNLINK XADD \
    XINFO XLEN XRANGE XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZMSCORE ZPOPMIN ZRANGE ZRANGEBYSCORE ZREM \
    ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYSCORE ZSCORE";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The names and texts of the files in a directory of `lua/`, without `.lua`.
fn lua_files(directory: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            assert_eq!(path.extension().unwrap(), "lua", "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// What a script is put together from.
struct Parts {
    /// The fragments that stand before the names of the keys, in order.
    first: Vec<String>,
    /// The function of theirs that is asked.
    asked: Option<String>,
    /// The other fragments, in order.
    fragments: Vec<String>,
    /// The functions that it may ask for.
    given: Vec<String>,
}

/// What `scripts!` in src/scripts.rs says of each script.
fn registered() -> BTreeMap<String, Parts> {
    let source = read("src/scripts.rs");
    let list = source.split_once("\nscripts! {").unwrap().1.split_once("\n}").unwrap().0;
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let mut scripts = BTreeMap::new();
    for line in lines {
        let (name, files) = line.strip_suffix(';').unwrap().split_once(" = ").unwrap();
        let names = |list: &str| -> Vec<String> {
            list.split(", ").map(|file| file.trim_matches(['"', ']']).to_owned()).collect()
        };
        let (files, given) = files.split_once(" gives [").unwrap_or((files, ""));
        let (mut first, mut asked, mut files) = (Vec::new(), None, files.to_owned());
        if let Some((before, after)) = files.split_once(", first [") {
            let (list, after) = after.split_once("] asks ").unwrap();
            let (function, after) = after.split_once(", ").unwrap();
            (first, asked) = (names(list), Some(function.trim_matches('"').to_owned()));
            files = format!("{before}, {after}");
        }
        let mut fragments = names(&files.replace("rarely [", ""));
        let file = fragments.remove(0);
        let given = if given.is_empty() { Vec::new() } else { names(given) };
        assert_eq!(name, file.to_uppercase(), "the constant is named as the file");
        assert!(
            scripts.insert(file, Parts { first, asked, fragments, given }).is_none(),
            "{name} is there twice"
        );
    }
    scripts
}

/// The code of a Lua text: comments are dropped, and the contents of texts if `bare`.
fn code(text: &str, bare: bool) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("--[[") {
            rest = comment.split_once("]]").unwrap().1;
        } else if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if c == '\'' || c == '"' {
            let end = 1 + rest[1..].find(c).unwrap();
            code.push_str(if bare { "''" } else { &rest[..=end] });
            rest = &rest[end + 1..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// The words of a code, each with what stands before it.
fn words(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |length| start + length);
        at = end;
        Some((&code[..start], &code[start..end]))
    })
}

/// What a fragment defines for others: `local function name(..)` and `local name = ..` at the beginning of a line.
fn definitions(code: &str) -> BTreeSet<&str> {
    let lines = code.lines().filter_map(|line| line.strip_prefix("local "));
    lines.map(|line| words(line.strip_prefix("function ").unwrap_or(line)).next().unwrap().1).collect()
}

#[test]
fn every_script_says_what_it_does() {
    for (name, text) in lua_files("lua") {
        let header = text.strip_prefix("--[[ ").unwrap_or_else(|| panic!("{name}: no header"));
        let (header, body) = header.split_once("]]").unwrap();
        let (title, entries) = header.split_once('\n').unwrap();
        let does = title.strip_prefix(&format!("{name}: ")).unwrap_or_else(|| panic!("{name}: {title}"));
        assert!(does.ends_with('.'), "{name}: a sentence");
        let mut at = 0;
        for entry in ["KEYS ", "ARGV[", "RETURNS ", "ERRORS ", "MOVES ", "EVENTS ", "COST "] {
            if entry == "ARGV[" && !code(body, true).contains("ARGV") && !entries.contains("ARGV[") {
                continue;
            }
            let found =
                entries[at..].find(entry).unwrap_or_else(|| panic!("{name}: {entry} is missing, or late"));
            let before = entries[..at + found].rsplit('\n').next().unwrap();
            let alone = before == "  ";
            assert!(alone || (entry == "EVENTS " && before.starts_with("  MOVES ")), "{name}: {entry}");
            let says = entries[at + found + entry.len()..].lines().next().unwrap().trim();
            assert!(!says.is_empty(), "{name}: {entry} says nothing");
            at += found + entry.len();
        }
        assert_eq!(entries.matches("KEYS ").count(), 1, "{name}");
        assert!(
            entries.contains("KEYS     those that stand for the queue's (shared/keys.lua)"),
            "{name}: other keys"
        );
        assert!(!code(body, true).contains("KEYS["), "{name}: keys have names");
    }
}

#[test]
fn every_script_is_registered() {
    let files: Vec<String> = lua_files("lua").into_keys().collect();
    let registered: Vec<String> = registered().into_keys().collect();
    assert_eq!(files, registered);
}

#[test]
fn scripts_list_the_fragments_that_they_use_and_no_others() {
    let fragments = lua_files("lua/shared");
    let fragments: BTreeMap<&str, String> =
        fragments.iter().map(|(name, text)| (name.as_str(), code(text, true))).collect();
    let owners: BTreeMap<&str, &str> = fragments
        .iter()
        .flat_map(|(name, code)| definitions(code).into_iter().map(|defined| (defined, *name)))
        .collect();
    let count: usize = fragments.values().map(|code| definitions(code).len()).sum();
    assert_eq!(owners.len(), count, "a name in two fragments");
    let scripts = lua_files("lua");
    let mut used_anywhere = BTreeSet::from(["keys"]);
    for (script, Parts { first, asked, fragments: others, given }) in registered() {
        let mut parts = Vec::new();
        let keys = "keys".to_owned();
        for name in first.iter().chain([&keys]).chain(&others) {
            let (name, code) =
                fragments.get_key_value(name.as_str()).unwrap_or_else(|| panic!("{script}: {name}"));
            parts.push((*name, code.clone()));
        }
        parts.push(("", code(&scripts[&script], true)));
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for (part, code) in &parts {
            for (before, word) in words(code) {
                let Some((name, owner)) = owners.get_key_value(word) else { continue };
                if before.ends_with("local function ") || before.ends_with("local ") {
                    known.insert(name);
                } else if !before.ends_with('.') {
                    assert!(
                        known.contains(name),
                        "{script}: {word} of {owner} is used in {part:?} before it is there"
                    );
                    if owner != part {
                        used.insert(owner);
                    }
                }
            }
        }
        for name in &given {
            assert!(known.contains(name.as_str()), "{script}: there is no {name} to be given");
            let asked_for = format!("rarely().{name}(");
            assert!(scripts[&script].contains(&asked_for), "{script}: nobody asks for {name}");
            used.insert(owners[name.as_str()]);
        }
        if let Some(name) = &asked {
            let owner = owners[name.as_str()];
            assert!(
                first.iter().any(|fragment| fragment == owner),
                "{script}: there is no {name} to be asked"
            );
            used.insert(owner);
        }
        for name in first.iter().chain(&others) {
            assert!(used.contains(name.as_str()), "{script}: nothing of {name} is used");
        }
        used_anywhere.extend(used);
    }
    assert!(fragments.keys().all(|name| used_anywhere.contains(name)), "{used_anywhere:?}");
}

#[test]
fn the_keys_are_the_same_here_and_there() {
    let source = read("src/keys.rs");
    let (_, list) = source.split_once("const FIXED: [&str; ").unwrap();
    let (count, list) = list.split_once("] = [").unwrap();
    let list = list.split_once("];").unwrap().0;
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let fixed: Vec<&str> = names.map(|name| name.trim_matches('"')).collect();
    assert_eq!(fixed.len().to_string(), count);

    let keys = code(&read("lua/shared/keys.lua"), false);
    let mut defined = 1; // The beginning that all share.
    for (suffix, at) in fixed.iter().zip(1..) {
        let (what, from) = suffix.strip_prefix('*').map_or((*suffix, "base"), |ours| (ours, "own"));
        let name = what.replace('-', "_");
        let value = if at <= 2 { format!("KEYS[{at}]") } else { format!("{from} .. '{what}'") };
        assert!(keys.contains(&format!(" {name} = {value},")), "{name}");
        defined += 1;
        // What the other names begin with is what stands before these.
        let begins = format!("string.sub(KEYS[{at}], 1, -{})", what.len() + 1);
        assert!(at > 2 || keys.contains(&begins), "{name}");
    }
    let table = keys.split_once("local q = {").unwrap().1;
    assert_eq!(table.matches(" = ").count(), defined);
}

#[test]
fn scripts_use_only_what_redis_6_2_has() {
    let mut texts = lua_files("lua");
    texts.extend(lua_files("lua/shared").into_iter().map(|(name, text)| (format!("shared/{name}"), text)));
    let known: BTreeSet<&str> = COMMANDS.split_whitespace().collect();
    let mut calls = 0;
    for (name, text) in texts {
        let code = code(&text, false);
        for (before, word) in words(&code) {
            if before.ends_with("redis.") {
                assert!(
                    ["call", "pcall", "error_reply", "status_reply"].contains(&word),
                    "{name}: redis.{word}"
                );
            }
            assert!(!["server", "bit", "struct"].contains(&word) || before.ends_with('.'), "{name}: {word}");
        }
        for opening in ["redis.call(", "redis.pcall(", "call_many("] {
            for (at, _) in code.match_indices(opening) {
                if code[..at].ends_with("function ") {
                    continue;
                }
                let arguments = &code[at + opening.len()..];
                let first = arguments.split_once([',', ')']).unwrap().0;
                let mut commands = first.split('\'').skip(1).step_by(2).peekable();
                // The body of call_many itself.
                assert!(commands.peek().is_some() || first == "command", "{name}: {first}");
                for command in commands {
                    assert!(known.contains(command), "{name}: {command}");
                    let call = arguments.lines().next().unwrap();
                    let newer = ["'NX'", "'XX'", "'GT'", "'LT'"].iter().any(|option| call.contains(option));
                    assert!(
                        !(newer && command.ends_with("EXPIRE")),
                        "{name}: options of {command} came with 7.0"
                    );
                    calls += 1;
                }
            }
        }
    }
    assert!(calls > 100, "{calls} calls were seen");
}
