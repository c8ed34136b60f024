//! Style that a machine can see: file names and sizes, marks that must not be committed.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Lines that a source file may have; past it, it is more than one thing.
const LINES_MAX: usize = 900;

/// Extensions of files that somebody wrote.
const SOURCES: [&str; 5] = ["rs", "ts", "mts", "cts", "mjs"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "common", "helpers", "types"];

pub(crate) fn check(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for folder in ["benches", "bindings", "crates", "examples", "interop", "xtask"] {
        collect(&root.join(folder), &mut files)?;
    }
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{shown}: {lines} lines; more than {LINES_MAX} are more than one thing"));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            faults.push(format!("{shown}: the name says nothing"));
        }
        if path.ends_with("xtask/src/tidy.rs") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if ["TODO", "FIXME", "XXX", "dbg!("].iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{shown}:{}: an unfinished mark", index + 1));
            }
        }
        // Nothing is too late or too early in a test that waits for what it expects.
        let is_test =
            path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "conformance");
        if is_test && text.contains("thread::sleep(") {
            faults.push(format!("{shown}: a bare sleep in a test"));
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("tidy:\n  {}", faults.join("\n  ")) }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_made = ["target", "node_modules", "dist"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !is_made {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| SOURCES.iter().any(|known| extension == *known)) {
            files.push(path);
        }
    }
    Ok(())
}
