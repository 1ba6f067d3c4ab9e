//! Whether the boundary of an app holds, found out by trying to cross it.
//!
//! * [`subject`]: what is verified: whose rules, and which component, if there is one.
//! * [`interfaces`]: the static part. What a component imports, and what each import gives it.
//! * [`corpus`]: the attempts, made to fit the app's rules: its own entries, misspelled, and what lies next to them.
//! * [`trial`]: the dynamic part for components. A daemon in this process with the subject's configuration, a hostile component in the
//!   app's place, listeners that should hear nothing, and a name server that writes down what it is asked.
//! * [`native_corpus`], [`native`], [`attacker`]: the same for native apps. The attempts are made by this binary, as an
//!   ordinary program in the app's own cell.
//! * [`report`]: what came of it, for people and for machines.
//!
//! The hostile component is part of this binary: `corpus.component`, built from `guest-examples/corpus`. What is verified
//! is therefore this build and this configuration, not some other one's promise.
//!
//! **Invariant:** nothing is sent to anybody but listeners of this process, whatever comes of an attempt: every name leads
//! to them or to addresses that are refused.
//! **Invariant:** the subject's own code does not run.

pub mod attacker;
pub mod corpus;
pub mod interfaces;
pub mod native;
pub mod native_corpus;
pub mod report;
pub mod subject;
pub mod trial;

pub use report::Report;
pub use subject::{Form, Subject, SubjectError, Target};

use crate::bootstrap;
use gestalt_core::metrics::{Event, Meter};
use gestalt_runtime_wasm::{Runtime, Settings};
use std::path::Path;
use std::sync::Arc;

/// Inspects the subject's component and runs the corpus under its rules.
///
/// # Errors
/// When the component cannot be read or compiled, or the daemon for the trial does not start. What the boundary lets
/// through is no error.
pub async fn run(subject: Subject) -> anyhow::Result<Report> {
    let scratch = Scratch::make()?;
    let component = match &subject.component {
        Some(file) => Some(inspect(&subject, file, scratch.path()).await?),
        None => None,
    };
    let tried = match subject.form {
        Form::Native => native::run(&subject, scratch.path()).await?,
        Form::Component | Form::Declarative => Tried::of(trial::run(&subject, scratch.path()).await?),
    };
    Ok(Report::new(&subject, component, tried))
}

async fn inspect(subject: &Subject, file: &Path, scratch: &Path) -> anyhow::Result<interfaces::Component> {
    let mut limits = subject.runtime().limits.clone();
    limits.pool.instances = limits.pool.instances.min(16);
    let cache_dir = scratch.join("inspected");
    let settings = Settings { limits, cache_dir, worker: bootstrap::this_binary(), meter: Arc::new(Unmetered) };
    let inspection = Runtime::build(settings)?.inspect(file).await?;
    Ok(interfaces::describe(file, inspection))
}

/// What came of the attempts, and what stands in their way.
pub struct Tried {
    /// What came of each. Empty where there is nothing that could hold.
    pub outcomes: Vec<trial::Outcome>,
    /// What the reader should know of the walls.
    pub notes: Vec<String>,
    /// Whether every wall stands.
    pub is_whole: bool,
}

impl Tried {
    fn of(outcomes: Vec<trial::Outcome>) -> Self {
        Self { outcomes, notes: Vec::new(), is_whole: true }
    }

    fn nothing(note: String) -> Self {
        Self { outcomes: Vec::new(), notes: vec![note], is_whole: false }
    }
}

/// Nobody asks how often a verification compiles.
struct Unmetered;

impl Meter for Unmetered {
    fn record(&self, _event: Event) {}
}

/// A private directory that goes when the verification ends.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let dir = std::env::temp_dir().join(format!("gestaltd-verify-{}", uuid::Uuid::new_v4()));
        std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
