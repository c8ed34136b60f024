//! `oxmq completions`: the script that teaches a shell our command line.

use anyhow::Result;
use clap::CommandFactory;

use crate::args::Cli;
use crate::context::Context;

pub(crate) fn run(shell: clap_complete::Shell, context: &Context) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "oxmq", &mut script);
    context.out.line(String::from_utf8(script)?.trim_end())
}
