//! Help, completions, and the wrong command line.

use crate::support::Bench;

#[test]
fn help_shows_the_exit_codes() {
    let bench = Bench::new();
    let help = bench.ok(&["--help"]);
    for word in ["Exit codes:", "3  there is no such job", "add", "demo"] {
        assert!(help.contains(word), "{help}");
    }
    assert!(!help.contains("crash-producer"), "{help}");
    let help = bench.ok(&["work", "--help"]);
    assert!(help.contains("exit 75") && help.contains("OXMQ_JOB_DATA"), "{help}");
}

#[test]
fn completions_are_there_for_every_shell() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.ok(&["completions", shell]);
        assert!(script.contains("obliterate"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_2() {
    let bench = Bench::new();
    for args in [
        vec![],
        vec!["frobnicate"],
        vec!["add"],
        vec!["add", "q"],
        vec!["work", "q"],
        vec!["add", "q", "n", "--nope"],
    ] {
        bench.fails(2, &args);
    }
}
