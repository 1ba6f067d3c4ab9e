//! Why a step of confining failed, and whether that may pass.

use crate::means::is_passing;
use serde::{Deserialize, Serialize};
use std::io;

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    pub(crate) what: String,
    /// Which wall it belongs to.
    pub(crate) part: Part,
    /// Whether the machine was short of something at the moment: the same step may well work later.
    pub(crate) passing: bool,
}

/// The walls a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Network, files and processes of its own.
    Namespaces,
    /// `/proc` in them.
    Processes,
    Landlock,
    /// The filter of system calls.
    Filter,
    /// What every machine has.
    Rest,
}

impl Failure {
    /// The same failure, of that wall.
    pub(crate) fn of_part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    /// What the operating system said of a step.
    pub(crate) fn of(step: impl std::fmt::Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        Self { what: format!("{step}: {error}"), part: Part::Rest, passing: is_passing(&error) }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { what, part: Part::Rest, passing: false }
    }
}

impl From<&str> for Failure {
    fn from(what: &str) -> Self {
        what.to_owned().into()
    }
}
