//! Every script as a typed constant, put together at compile time.
//!
//! A server keeps the text of each script that it has run, so it is sent without comments and indentation: they are a third of it.

use std::sync::LazyLock;

/// A Lua script.
pub(crate) struct Script {
    /// Its file in `lua/`, without `.lua`.
    pub(crate) name: &'static str,
    whole: &'static str,
    /// What it begins with if most lone calls end there, and the name of the function that is asked; else nothing.
    #[cfg(test)]
    lone: [&'static str; 2],
    sha: LazyLock<String>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Script {
    /// Its text, as it is sent.
    pub(crate) fn source(&self) -> String {
        bare(self.whole)
    }

    /// The script that whoever calls this one needs next: the server gets both at once.
    pub(crate) fn companion(&self) -> Option<&'static Self> {
        (self.name == TAKE.name).then_some(&FINISH)
    }

    /// The name that the server knows it by.
    pub(crate) fn sha(&self) -> &str {
        &self.sha
    }
}

/// A Lua text without lines that are comments, and without indentation. These lines stay as empty ones, so that the line numbers in errors
/// are those of the whole text.
///
/// It knows what scripts of ours have: no text goes over more than one line, and what follows a comment's `]]` is on another line.
fn bare(whole: &str) -> String {
    let mut text = String::with_capacity(whole.len());
    let mut is_comment = false;
    for line in whole.lines().map(str::trim_start) {
        is_comment |= line.starts_with("--[[");
        if !is_comment && !line.starts_with("--") {
            text.push_str(line);
        }
        text.push('\n');
        is_comment &= !line.contains("]]");
    }
    text
}

/// `NAME = "file", "fragment", ..;` A fragment must come before those that use it.
///
/// `first ["fragment", ..] asks "function"`: the script begins with these and asks the function, whose answer is the script's, if it has
/// one. So what most lone calls are passes by what the general way makes before it begins and for each of its steps, which is a quarter to a third
/// of such a call.
///
/// `rarely ["fragment", ..] gives ["function", ..]`: what these fragments define is made when `rarely()` is called first, which
/// returns a table with these functions. Most calls need none of it, and making it costs a lone one up to 3 us.
macro_rules! scripts {
    ($(
        $name:ident = $file:literal $(, first [$($first:literal),*] asks $asked:literal)? $(, $fragment:literal)*
        $(, rarely [$($rare:literal),*] gives [$($given:literal),*])?;
    )*) => {
        $(
            #[doc = concat!("`lua/", $file, ".lua`")]
            pub(crate) static $name: Script = Script {
                name: $file,
                whole: concat!(
                    $(
                        $(include_str!(concat!("../lua/shared/", $first, ".lua")),)*
                        "do\nlocal answer = ", $asked, "()\nif answer then return answer end\nend\n",
                    )?
                    include_str!("../lua/shared/keys.lua"),
                    $(include_str!(concat!("../lua/shared/", $fragment, ".lua")),)*
                    $(
                        "local rare\nlocal function rarely()\nif rare then return rare end\n",
                        $(include_str!(concat!("../lua/shared/", $rare, ".lua")),)*
                        "rare = { ", $($given, " = ", $given, ", ",)* "}\nreturn rare\nend\n",
                    )?
                    include_str!(concat!("../lua/", $file, ".lua")),
                ),
                #[cfg(test)]
                lone: [
                    concat!($($(include_str!(concat!("../lua/shared/", $first, ".lua")),)*)?),
                    concat!($($asked)?),
                ],
                sha: LazyLock::new(|| redis::Script::new(&$name.source()).get_hash().to_owned()),
            };
        )*

        #[cfg(test)]
        const ALL: &[&Script] = &[$(&$name),*];
    };
}

scripts! {
    ADD = "add", first ["lone_add"] asks "lone_add", "queue", "job", "place", rarely ["family", "dedup", "delete", "claim"] gives ["read_claim", "decide"];
    ADD_FLOW = "add_flow", "queue", "job", "place", "family", "dedup", "delete", "claim";
    RELEASE = "release";
    TAKE = "take", first ["fresh", "lone_take"] asks "lone_take", "queue", "job", "place", "take";
    FINISH = "finish", first ["fresh", "lone_finish"] asks "lone_finish", "queue", "job", "place", "take", "plain_finish", rarely ["family", "outcome", "dedup", "delete", "retention", "metrics"] gives ["child_completed", "child_failed", "dedup_finished", "delete_jobs", "keep_until", "apply_retention", "count_ended"];
    EXTEND = "extend", "job";
    RECOVER = "recover", "queue", "job";
    NOTE = "note", "queue";
    ANNOUNCE = "announce", "queue";
    CANCEL = "cancel", "queue", "job", "place", "family", "outcome", "dedup", "schedule";
    PROMOTE = "promote", "queue", "job", "place";
    RETRY = "retry", "queue", "job", "place", "family", "outcome";
    RESCHEDULE = "reschedule", "queue", "job", "place";
    REMOVE = "remove", "queue", "job", "place", "family", "dedup", "delete", "schedule";
    DETACH = "detach", "queue", "job", "place", "family";
    PAUSE = "pause", "queue";
    RESUME = "resume", "queue", "job";
    LIMIT = "limit", "queue";
    DRAIN = "drain", "queue", "job", "place", "family", "dedup", "delete", "schedule";
    CLEAN = "clean", "queue", "job", "place", "family", "dedup", "delete", "schedule";
    OBLITERATE = "obliterate", "queue", "job", "place", "family", "dedup", "delete";
    SWEEP = "sweep", "queue", "job", "place", "family", "dedup", "delete";
    PUT_SCHEDULE = "put_schedule", "queue", "job", "place", "family", "dedup", "delete", "slots";
    ADVANCE_SCHEDULE = "advance_schedule", "queue", "job", "place", "slots";
    REMOVE_SCHEDULE = "remove_schedule", "queue", "job", "place", "family", "dedup", "delete";
    SCHEDULE = "schedule", "schedule_view";
    SCHEDULES = "schedules", "schedule_view";
    JOB = "job", "job", "view";
    JOBS = "jobs", "job", "view";
    COUNTS = "counts", "queue";
    CHILDREN = "children", "queue", "job", "place", "family";
    LIMITS = "limits", "queue";
    SET_META = "set_meta", "queue";
    METRICS = "metrics";
    CANCELLATIONS = "cancellations", "job";
    EVENTS = "events";
    PUBLISH = "publish", "queue";
    TALLY = "tally";
    TRIM_EVENTS = "trim_events";
}

#[cfg(test)]
mod lone;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_comment_and_indentation_go() {
        let whole = "--[[ head: says so.\n  KEYS  none ]]\n-- Why.\nlocal a = '--'\n\n  if a == \"--[[\" then -- it is not\n    \
                     --[[ one line ]]\n\t--a\n    return a - -1 .. '  -- '\n  end\n";
        let sent =
            "\n\n\nlocal a = '--'\n\nif a == \"--[[\" then -- it is not\n\n\nreturn a - -1 .. '  -- '\nend\n";
        assert_eq!(bare(whole), sent);
        assert_eq!(bare(sent), sent);
    }

    #[test]
    fn scripts_have_no_text_of_several_lines_and_nothing_behind_a_block_of_comment() {
        for script in ALL {
            let whole = script.whole;
            for (at, _) in whole.match_indices("[[") {
                let line = whole[..at].rsplit('\n').next().unwrap();
                assert_eq!(line.trim_start(), "--", "{script:?}");
                let after = whole[at..].split_once("]]").unwrap().1;
                assert_eq!(after.lines().next().unwrap(), "", "{script:?}");
            }
            assert!(!whole.contains("[="), "{script:?}");
            assert!(!whole.lines().any(|line| line.ends_with('\\')), "{script:?}");
            assert!(script.source().len() < whole.len() * 3 / 4, "{script:?}");
        }
    }
}
