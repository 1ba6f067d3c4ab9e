//! `gestaltd config …`: what there is to know about the file formats.

use super::say;
use clap::Subcommand;
use gestalt_config::schema::Format;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the JSON Schema of a file format, so that an editor completes and checks it.
    Schema {
        /// `config`, `manifest`, or `manifest:KIND`.
        #[arg(default_value = "config", value_parser = format)]
        format: Format,
    },
}

/// Runs `command`.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Schema { format } => {
            let text = serde_json::to_string_pretty(&format.schema())?;
            say(std::io::stdout(), &format!("{text}\n"));
        }
    }
    Ok(())
}

fn format(text: &str) -> Result<Format, String> {
    Format::parse(text).ok_or_else(|| {
        let known: Vec<String> = Format::all().map(|format| format.to_string()).collect();
        format!("there are {}", known.join(", "))
    })
}
