//! What the server's errors mean: one table from its codes to what we do and what we tell.

use oxmq_core::{Error, ErrorKind};
use redis::ServerError;

/// What to do about an error of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The script was not run, because the server does not know it: load it and send again.
    LoadScript,
    /// Nothing was applied: the same server will do it soon.
    Wait,
    /// Nothing was applied: we speak to the wrong server of a failover, find the right one.
    Rediscover,
    /// Nothing was applied: the slot lives on another node.
    Moved,
    /// Nothing was applied: this one key is already on another node.
    Ask,
    /// Tell the caller.
    Tell,
}

/// An error of the server, understood.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// What to do.
    pub(super) remedy: Remedy,
    /// What the caller gets, if it cannot be helped.
    pub(super) kind: ErrorKind,
    /// The server's text.
    text: String,
    advice: &'static str,
}

/// Code, what we do, what the caller gets in the end, and what a human can do about it.
const TABLE: &[(&str, Remedy, ErrorKind, &str)] = &[
    (
        "NOSCRIPT",
        Remedy::LoadScript,
        ErrorKind::Unavailable,
        "the server forgets scripts as fast as they are loaded",
    ),
    (
        "LOADING",
        Remedy::Wait,
        ErrorKind::Unavailable,
        "the server is loading its data; wait until it is done",
    ),
    (
        "MASTERDOWN",
        Remedy::Rediscover,
        ErrorKind::Unavailable,
        "this replica has lost its master; name the master",
    ),
    ("BUSY", Remedy::Wait, ErrorKind::Unavailable, "a script of somebody runs for too long; see SCRIPT KILL"),
    (
        "TRYAGAIN",
        Remedy::Wait,
        ErrorKind::Unavailable,
        "the cluster is moving these keys; wait until it is done",
    ),
    (
        "CLUSTERDOWN",
        Remedy::Wait,
        ErrorKind::Unavailable,
        "the cluster has no master for every slot; see CLUSTER INFO",
    ),
    ("UNBLOCKED", Remedy::Rediscover, ErrorKind::Unavailable, "the server changed its role during a wait"),
    (
        "NOREPLICAS",
        Remedy::Wait,
        ErrorKind::Unavailable,
        "too few replicas are in reach; see min-replicas-to-write",
    ),
    ("MOVED", Remedy::Moved, ErrorKind::Unavailable, "the servers are a cluster; use redis-cluster://"),
    ("ASK", Remedy::Ask, ErrorKind::Unavailable, "the servers are a cluster; use redis-cluster://"),
    (
        "READONLY",
        Remedy::Rediscover,
        ErrorKind::ReadOnly,
        "this server is a replica; name the master, or use redis-sentinel://",
    ),
    (
        "MISCONF",
        Remedy::Tell,
        ErrorKind::ReadOnly,
        "the server cannot save to its disk; free space, or see stop-writes-on-bgsave-error",
    ),
    (
        "OOM",
        Remedy::Tell,
        ErrorKind::Full,
        "the server has reached maxmemory; raise it, or remove finished jobs",
    ),
    (
        "MAXCLIENTS",
        Remedy::Wait,
        ErrorKind::Unavailable,
        "raise maxclients of the server, or use fewer connections by ?shared_wait=true",
    ),
    (
        "NOAUTH",
        Remedy::Tell,
        ErrorKind::Refused,
        "the server wants a password; use redis://user:password@host",
    ),
    (
        "WRONGPASS",
        Remedy::Tell,
        ErrorKind::Refused,
        "the user or the password is wrong; see the URL and ACL LIST",
    ),
    (
        "NOPERM",
        Remedy::Tell,
        ErrorKind::Refused,
        "the user may not do that; see ACL SETUSER: it needs ~PREFIX* &PREFIX* +@all -@dangerous, and +client +info",
    ),
    (
        "CROSSSLOT",
        Remedy::Tell,
        ErrorKind::Refused,
        "the keys are in several slots; put a hash tag in the prefix: {name}",
    ),
    (
        "DENIED",
        Remedy::Tell,
        ErrorKind::Refused,
        "the server is in protected mode; set a password, or bind it",
    ),
    (
        "WRONGTYPE",
        Remedy::Tell,
        ErrorKind::Corrupt,
        "another program wrote to a key of this queue; use a prefix of its own",
    ),
];

/// What stands for a refusal by ACL inside of scripts, where servers differ in their words.
const REFUSALS: &[&str] = &["ACL failure in script", "can't run this command", "No permissions to"];

/// Understands an error of the server.
pub(super) fn understand(error: &ServerError) -> Fault {
    let details = error.details().unwrap_or_default();
    let code = match error.code() {
        "ERR" => code_inside(details),
        code => code,
    };
    let text = format!("{} {details}", error.code());
    let (_, remedy, kind, advice) = TABLE.iter().find(|row| row.0 == code).copied().unwrap_or((
        "",
        Remedy::Tell,
        ErrorKind::Internal,
        "the server did not understand us; please report this",
    ));
    Fault { remedy, kind, text: text.trim().to_owned(), advice }
}

/// Servers before 7.0 wrap the error of a command in a script: `ERR Error running script (..): -OOM command ..`.
fn code_inside(details: &str) -> &str {
    if REFUSALS.iter().any(|words| details.contains(words)) {
        return "NOPERM";
    }
    if details.starts_with("max number of clients") {
        return "MAXCLIENTS";
    }
    if details.starts_with("Client sent AUTH, but no password is set")
        || details.contains("without any password")
    {
        return "WRONGPASS";
    }
    let inside = details.split(": -").nth(1).and_then(|rest| rest.split(' ').next());
    inside.filter(|code| TABLE.iter().any(|row| row.0 == *code)).unwrap_or("ERR")
}

impl Fault {
    /// The error for the caller.
    pub(super) fn error(&self, operation: &'static str) -> Error {
        Error::new(self.kind, operation, format!("{}: {}", self.text, self.advice))
    }

    /// The place that MOVED or ASK name: the slot and where it is. An empty host means the one that was asked.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster redirects"))]
    pub(super) fn place(&self) -> Option<(u16, &str)> {
        let mut words = self.text.split(' ').skip(1);
        Some((words.next()?.parse().ok()?, words.next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> Fault {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap() {
            redis::Value::ServerError(error) => understand(&error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_are_found_at_the_start_and_inside_of_script_errors() {
        let oom =
            fault("OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:1.");
        assert_eq!((oom.remedy, oom.kind), (Remedy::Tell, ErrorKind::Full));
        let error = oom.error("add").to_string();
        assert!(error.contains("raise it") && error.contains("used memory"), "{error}");
        let old = fault("ERR Error running script (call to f_1f): @user_script:1: -READONLY You can't write");
        assert_eq!((old.remedy, old.kind), (Remedy::Rediscover, ErrorKind::ReadOnly));
        let unknown = fault("ERR Error running script (call to f_1f): @user_script:1: -HUH what");
        assert_eq!((unknown.remedy, unknown.kind), (Remedy::Tell, ErrorKind::Internal));
        assert_eq!(fault("NOSCRIPT No matching script.").remedy, Remedy::LoadScript);
        assert_eq!(fault("ERR ACL failure in script: User x has no permissions").kind, ErrorKind::Refused);
        assert_eq!(fault("ERR max number of clients reached").kind, ErrorKind::Unavailable);
        assert_eq!(fault("WRONGTYPE Operation against a key").kind, ErrorKind::Corrupt);
    }

    #[test]
    fn a_redirection_names_its_place() {
        assert_eq!(fault("MOVED 3999 127.0.0.1:6381").place(), Some((3999, "127.0.0.1:6381")));
        assert_eq!(fault("ASK 1 :6381").place(), Some((1, ":6381")));
        assert_eq!(fault("OOM x").place(), None);
    }
}
