//! `gestaltd egress`: what apps may reach, what they reached, and what they need.

use super::{Sources, say, say_json};
use anyhow::{Context, anyhow};
use gestalt_config::{App, Deployment, Mode};
use gestalt_core::egress;
use gestalt_core::foreign::Foreign;
use gestalt_egress::{
    Explanation, Proposal, Question, Reached, Resolver, SelfListeners, SystemResolver, Verdict, read_journal,
};
use http::Method;
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// What `gestaltd egress` can tell.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say which rule decides about a request of an app, and why. Sends nothing. Exit code: 0 it is sent, 1 it is
    /// refused, 3 it depends on addresses that are not known here.
    Explain {
        #[command(flatten)]
        sources: Sources,
        /// The app.
        #[arg(long)]
        app: String,
        /// HTTP method.
        #[arg(long, default_value = "GET")]
        method: Method,
        /// Ask no name server.
        #[arg(long)]
        offline: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The URL, as the app would write it.
        url: String,
    },
    /// Print what each app reached since its journal was begun, and the smallest allowedHosts under which it still could.
    Report {
        #[command(flatten)]
        sources: Sources,
        /// This app alone.
        #[arg(long)]
        app: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a subcommand.
pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Explain { sources, app, method, offline, json, url } => {
            let deployment = load(sources)?;
            let told = explain(&deployment, find(&deployment, app)?, method, url, *offline)?;
            match *json {
                true => say_json(&told),
                false => say(std::io::stdout(), &render(app, &told)),
            }
            Ok(match told.verdict {
                Verdict::Pass | Verdict::Observe => ExitCode::SUCCESS,
                Verdict::Deny => ExitCode::FAILURE,
                Verdict::Unknown => ExitCode::from(3),
            })
        }
        Command::Report { sources, app, json } => {
            let deployment = load(sources)?;
            let apps: Vec<&App> = match app {
                Some(name) => vec![find(&deployment, name)?],
                None => deployment.apps.values().collect(),
            };
            let reports =
                apps.into_iter().map(|app| Report::of(&deployment, app)).collect::<anyhow::Result<Vec<_>>>()?;
            match *json {
                true => say_json(&reports),
                false => say(std::io::stdout(), &reports.iter().map(Report::render).collect::<Vec<_>>().join("\n")),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Nothing is started, so that no secret needs to be there.
fn load(sources: &Sources) -> anyhow::Result<Deployment> {
    sources.load(Mode::Lenient).map_err(|problems| anyhow!("configuration refused\n{problems}"))
}

fn find<'d>(deployment: &'d Deployment, name: &str) -> anyhow::Result<&'d App> {
    let found = deployment.apps.values().find(|app| app.name.as_str() == name);
    found.ok_or_else(|| anyhow!("the configuration has no app {name:?}"))
}

fn explain(
    deployment: &Deployment,
    app: &App,
    method: &Method,
    url: &str,
    offline: bool,
) -> anyhow::Result<Explanation> {
    let listeners = SelfListeners::default();
    listeners.add(deployment.server.public);
    if let Some(management) = &deployment.server.management {
        listeners.add(management.address);
    }
    let resolver: Option<Arc<dyn Resolver>> = if offline { None } else { Some(Arc::new(SystemResolver::new())) };
    let question = Question {
        settings: &deployment.server.egress,
        app: &app.name,
        rules: &app.egress,
        listeners: Arc::new(listeners),
        resolver,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a thread")?;
    let told = runtime.block_on(question.explain(method, url));
    // A lookup that is still waiting for its name server is not waited for.
    runtime.shutdown_background();
    Ok(told)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "ok",
        Verdict::Deny => "REFUSED",
        Verdict::Observe => "observed",
        Verdict::Unknown => "unknown",
    }
}

fn render(app: &str, told: &Explanation) -> String {
    let mut text = String::new();
    for step in &told.steps {
        let reason = step.reason.map_or_else(String::new, |reason| format!(" [{reason}]"));
        let _ =
            writeln!(text, "  {:<10} {:<9} {}{reason}", step.step, word(step.verdict), Foreign::phrase(&step.detail));
    }
    let verdict = match told.verdict {
        Verdict::Pass => "sent",
        Verdict::Deny => "refused",
        Verdict::Observe => "sent, only because the app's egress is observed and not enforced",
        Verdict::Unknown => "sent if its addresses are allowed; they are not known here",
    };
    let _ = writeln!(text, "{app}: {verdict}");
    if let Some(remedy) = &told.remedy {
        let _ = writeln!(text, "to allow it: {}", Foreign::phrase(remedy));
    }
    text
}

/// One app's part of `gestaltd egress report`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    app: String,
    /// `enforce` or `observe`.
    mode: &'static str,
    /// Where the list stands.
    at: String,
    /// What was let through.
    reached: Vec<Reached>,
    /// What was not.
    refused: Vec<Reached>,
    proposal: Proposal,
}

impl Report {
    fn of(deployment: &Deployment, app: &App) -> anyhow::Result<Self> {
        let rows = read_journal(&deployment.server.artifacts_dir, &app.name)
            .with_context(|| format!("the journal of apps.{}", app.name))?;
        let proposal = Proposal::new(&app.egress, &rows);
        let (reached, refused) = rows.into_iter().partition(Reached::was_reached);
        Ok(Self {
            app: app.name.to_string(),
            mode: match app.egress.mode {
                egress::Mode::Enforce => "enforce",
                egress::Mode::Observe => "observe",
            },
            at: app.egress.at.to_string(),
            reached,
            refused,
            proposal,
        })
    }

    fn render(&self) -> String {
        let mut text = format!("apps.{} ({}, egress mode {})\n", self.app, self.at, self.mode);
        for (title, rows) in [("reached", &self.reached), ("refused", &self.refused)] {
            if rows.is_empty() {
                continue;
            }
            let _ = writeln!(text, "  {title}");
            for row in rows {
                let _ = writeln!(text, "    {}", Foreign::phrase(&line(row)));
            }
        }
        match (self.reached.is_empty(), self.proposal.is_settled()) {
            (true, _) => text.push_str("  nothing was reached; there is nothing to propose yet\n"),
            (false, true) => text.push_str("  allowedHosts is as small as it can be\n"),
            (false, false) => self.diff(&mut text),
        }
        text
    }

    /// The change as lines of the config file; the places of the lines are the reader's.
    fn diff(&self, text: &mut String) {
        let _ =
            writeln!(text, "  proposal\n     apps:\n       {}:\n         egress:\n           allowedHosts:", self.app);
        let Proposal { keep, remove, add } = &self.proposal;
        for (sign, entries) in [(' ', keep), ('-', remove), ('+', add)] {
            for entry in entries {
                let _ = writeln!(text, "    {sign}        - {entry:?}");
            }
        }
    }
}

fn line(row: &Reached) -> String {
    let mut line = match (row.host.as_str(), row.scheme.as_str()) {
        ("", "") => "(further hosts)".to_owned(),
        ("", "tcp" | "udp") => format!("(a {} socket)", row.scheme),
        ("", "dns") => "(a lookup)".to_owned(),
        ("", scheme) => format!("{scheme}://(no valid host)"),
        (host, scheme) => format!("{scheme}://{host}:{}", row.port),
    };
    for (count, what) in [(row.allowed, "allowed"), (row.observed, "observed"), (row.denied, "refused")] {
        if count > 0 {
            let _ = write!(line, "  {count} {what}");
        }
    }
    if !row.reason.is_empty() {
        let _ = write!(line, " ({})", row.reason);
    }
    let _ = write!(line, "  {} bytes sent, {} received", row.sent, row.received);
    line
}
