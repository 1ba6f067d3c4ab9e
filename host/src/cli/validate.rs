//! `gestaltd validate`: everything that can be known without starting anything.

use super::{Sources, say};
use gestalt_config::{Manifest, Mode, Problem, Problems};
use std::process::ExitCode;

/// Reports all problems of the configuration and of every manifest it names.
pub(super) fn run(sources: &Sources, json: bool) -> ExitCode {
    let (deployment, mut problems) = match sources.load(Mode::Lenient) {
        Ok(deployment) => (Some(deployment), Problems::default()),
        Err(problems) => (None, problems),
    };
    for (deployment, app) in deployment.iter().flat_map(|d| d.apps.values().map(move |app| (d, app))) {
        let Some(file) = app.source.manifest() else { continue };
        let checked = Manifest::load(file).and_then(|manifest| deployment.check_config(app, &manifest));
        if let Err(found) = checked {
            problems.extend(found);
        }
    }
    let warning = |problem: &Problem| format!("warning: {problem}\n");
    let warnings: String = deployment.iter().flat_map(|d| d.warnings.iter()).map(warning).collect();
    if json {
        let text = serde_json::to_string_pretty(&problems).unwrap_or_else(|error| error.to_string());
        say(std::io::stdout(), &format!("{text}\n"));
    } else if problems.is_empty() {
        let apps = deployment.map_or(0, |d| d.apps.len());
        say(std::io::stderr(), &warnings);
        say(std::io::stdout(), &format!("config ok: {apps} app(s)\n"));
    } else {
        say(std::io::stderr(), &format!("{problems}"));
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
