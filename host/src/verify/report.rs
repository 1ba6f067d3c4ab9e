//! What came of a verification.

use super::Tried;
use super::interfaces::Component;
use super::subject::{Form, Subject};
use super::trial::Outcome;
use gestalt_core::foreign::Foreign;
use serde::Serialize;
use std::fmt;

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was verified.
    pub subject: String,
    /// The version of this binary.
    pub gestaltd: &'static str,
    /// `component`, `native` or `declarative`.
    pub form: &'static str,
    /// Whether all attempts ended as they should, and there is a boundary at all.
    pub holds: bool,
    /// What the rules let through.
    pub rules: Rules,
    /// What the component imports; absent when there is none.
    pub component: Option<Component>,
    /// What was attempted. Empty when there is nothing that could hold.
    pub attempts: Vec<Attempt>,
    /// What the reader should know besides.
    pub notes: Vec<String>,
}

/// The rules under which it was verified.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// What the app may reach, in words.
    pub reaches: &'static str,
    /// `egress.allowedHosts`.
    pub allowed_hosts: Vec<String>,
    /// `enforce` or `observe`.
    pub mode: &'static str,
}

/// One attempt and its end.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// As in the catalogue of attacks.
    pub id: &'static str,
    /// What was tried.
    pub attack: &'static str,
    /// What was seen.
    pub seen: String,
    /// Whether the boundary held.
    pub holds: bool,
}

const OBSERVE: &str = "observe";

impl Report {
    pub(super) fn new(subject: &Subject, component: Option<Component>, tried: Tried) -> Self {
        let attempts: Vec<Attempt> = tried
            .outcomes
            .into_iter()
            .map(|Outcome { id, attack, seen, holds }| Attempt { id, attack, seen, holds })
            .collect();
        let rules = subject.rules();
        let observes = subject.observes();
        let mut notes = Vec::new();
        if !subject.is_configured {
            notes.push(
                "No configuration has an entry for it: the rules are a sample, and the bounds are the defaults."
                    .to_owned(),
            );
        }
        match subject.form {
            Form::Component => {}
            Form::Declarative => notes.push(
                "It has no code of its own. The attempts were made by a component under its rules; its declared \
                 requests take the same way out."
                    .to_owned(),
            ),
            Form::Native => notes.push(
                "It runs as a process of this machine, in a cell. The attempts were made by a program in that cell; what \
                 goes on inside of TLS with a listed host is seen by nobody, which is less than a component is held to."
                    .to_owned(),
            ),
        }
        notes.extend(tried.notes);
        if observes {
            notes.push("egress.mode is observe: what the list refuses is recorded, and sent all the same.".to_owned());
        }
        let refused = component.iter().flat_map(|c| &c.imports).filter(|import| import.kind == "refused").count();
        if refused > 0 {
            notes.push(format!("It imports {refused} interface(s) that no app may have, and will not be started."));
        }
        Self {
            subject: subject.name.clone(),
            gestaltd: env!("CARGO_PKG_VERSION"),
            form: match subject.form {
                Form::Component => "component",
                Form::Native => "native",
                Form::Declarative => "declarative",
            },
            holds: tried.is_whole && !observes && !attempts.is_empty() && attempts.iter().all(|attempt| attempt.holds),
            rules: Rules {
                reaches: subject.policy().as_str(),
                allowed_hosts: rules.allowed.into_iter().map(|entry| entry.text).collect(),
                mode: if observes { OBSERVE } else { "enforce" },
            },
            component,
            attempts,
            notes,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}), gestaltd {}", Foreign::phrase(&self.subject), self.form, self.gestaltd)?;
        writeln!(f, "may reach: {}", self.rules.reaches)?;
        if !self.rules.allowed_hosts.is_empty() {
            writeln!(f, "listed: {}", self.rules.allowed_hosts.join(", "))?;
        }
        if let Some(component) = &self.component {
            writeln!(f, "\n{} bytes, {}", component.bytes, component.digest)?;
            let names: Vec<_> = component.imports.iter().map(|i| Foreign::name(&i.interface).to_string()).collect();
            let width = names.iter().map(String::len).max().unwrap_or(0);
            for (name, import) in names.iter().zip(&component.imports) {
                writeln!(f, "  {name:width$}  {:11}  {}", import.kind, import.gives)?;
            }
        }
        if !self.attempts.is_empty() {
            writeln!(f)?;
            let width = self.attempts.iter().map(|attempt| attempt.attack.len()).max().unwrap_or(0);
            for attempt in &self.attempts {
                let word = if attempt.holds { "held  " } else { "BROKEN" };
                writeln!(
                    f,
                    "  {:4} {word}  {:width$}  {}",
                    attempt.id,
                    attempt.attack,
                    Foreign::phrase(&attempt.seen)
                )?;
            }
        }
        writeln!(f)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let (held, all) = (self.attempts.iter().filter(|attempt| attempt.holds).count(), self.attempts.len());
        match self.holds {
            true => writeln!(f, "The boundary holds: {held} of {all} attempts ended as they should."),
            false if self.attempts.is_empty() || self.rules.mode == OBSERVE => writeln!(f, "There is no boundary."),
            false => writeln!(f, "The boundary is broken: only {held} of {all} attempts ended as they should."),
        }
    }
}
