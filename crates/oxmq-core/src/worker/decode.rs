//! Reads the data of a job, and names the place when it does not fit.

use std::fmt::Write;

use serde::de::DeserializeOwned;

use crate::job::Job;

/// The data of a job as `T`, or why it does not fit, with the path of the member that is wrong.
pub(crate) fn data<T: DeserializeOwned>(job: &Job) -> Result<T, String> {
    job.data.read().map_err(|error| {
        let text = job.data.as_str();
        let mut refusal =
            format!("the data of job `{}` does not fit `{}`", job.name, short(std::any::type_name::<T>()));
        let message = error.to_string();
        // These name the field themselves, and the place is only the end of the object.
        let named = ["missing field", "unknown field", "duplicate field"]
            .iter()
            .any(|start| message.starts_with(start));
        let offset = offset_of(text, error.line(), error.column());
        if let Some(path) =
            offset.map(|offset| path_at(text, offset)).filter(|path| !named && !path.is_empty())
        {
            let _ = write!(refusal, " at `{path}`");
        }
        let _ = write!(refusal, ": {message}");
        refusal
    })
}

/// The type's name without its modules.
fn short(name: &str) -> &str {
    if name.contains('<') { name } else { name.rsplit("::").next().unwrap_or(name) }
}

/// Where the parser's line and column (both from 1; 0 means unknown) are in the text.
fn offset_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    Some(before + column)
}

/// A step from an object or array to one of its members.
enum Step {
    Member(String),
    Item(usize),
}

/// The path of the value that was begun last before `offset` bytes: `users[2].name`; empty at the top.
fn path_at(text: &str, offset: usize) -> String {
    let bytes = text.as_bytes();
    let end = offset.min(bytes.len());
    let mut stack: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < end {
        match bytes[at] {
            b'{' => stack.push(Step::Member(String::new())),
            b'[' => stack.push(Step::Item(0)),
            b'}' | b']' => {
                stack.pop();
            }
            b',' => {
                if let Some(Step::Item(index)) = stack.last_mut() {
                    *index += 1;
                }
            }
            b'"' => {
                let start = at;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let colon =
                    bytes.get(at + 1..).unwrap_or(&[]).iter().find(|byte| !byte.is_ascii_whitespace());
                if let (Some(Step::Member(name)), Some(b':')) = (stack.last_mut(), colon) {
                    let key = text.get(start..=at).unwrap_or("\"\"");
                    *name = serde_json::from_str(key).unwrap_or_else(|_| key.to_owned());
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for step in &stack {
        match step {
            Step::Member(name) if name.is_empty() => {}
            Step::Member(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Step::Item(index) => {
                let _ = write!(path, "[{index}]");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::json::JsonText;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read by serde")]
    struct Order {
        user: User,
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read by serde")]
    struct User {
        age: u8,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read by serde")]
    struct Item {
        sku: String,
    }

    fn refusal(json: &str) -> String {
        let job = Job::new("1".into(), "order".into(), JsonText::stored(json), JsonText::empty_object());
        data::<Order>(&job).unwrap_err()
    }

    #[test]
    fn the_member_that_does_not_fit_is_named() {
        for (json, place) in [
            (r#"{"user":{"age":"old"},"items":[]}"#, "at `user.age`"),
            (r#"{"user":{"age":{"x":1}},"items":[]}"#, "at `user.age`"),
            (r#"{"user":{"age":300},"items":[]}"#, "at `user.age`"),
            (r#"{"items":[{"sku":"a"},{"sku":7}],"user":{"age":1}}"#, "at `items[1].sku`"),
            ("{\"user\":{\"age\":1},\n \"items\":\n [{\"sku\": null}]}", "at `items[0].sku`"),
            (r#"{"x":"a\"{[,","items":true,"user":{"age":1}}"#, "at `items`"),
            (r#"{"items":[],"user":{}}"#, "missing field `age`"),
            (r#"{"user":{"age":1}}"#, "missing field `items`"),
            (r"7", "invalid type"),
            (r#"{"user""#, "EOF"),
        ] {
            let refusal = refusal(json);
            assert!(refusal.contains(place), "{json}: {refusal}");
            assert!(refusal.starts_with("the data of job `order` does not fit `Order`"), "{refusal}");
        }
    }
}
