//! `install`, `build` and `run` of a manifest.

use super::address::package_path;
use crate::check::Report;
use crate::manifest::phases::{Build, Command, Run};
use crate::path::KeyPath;
use crate::raw::manifest::phases::{RawCommand, RawPhase, RawReleaseBuild, RawStep};
use std::path::PathBuf;

/// A command, what else its object says, and where it stands.
struct Step {
    at: KeyPath,
    command: Command,
    options: RawCommand,
}

pub(crate) fn install(report: &mut Report<'_>, at: &KeyPath, raw: RawPhase) -> Vec<Command> {
    let steps = steps(report, at, raw);
    for step in &steps {
        refuse_inputs(report, step);
        refuse_run_options(report, step);
    }
    steps.into_iter().map(|step| step.command).collect()
}

pub(crate) fn build(report: &mut Report<'_>, at: &KeyPath, raw: RawPhase) -> Option<Build> {
    let makes_artifact = matches!(raw, RawPhase::Command(_));
    let steps = steps(report, at, raw);
    let mut inputs = Vec::new();
    for step in &steps {
        refuse_run_options(report, step);
        for (i, text) in step.options.inputs.iter().flatten().enumerate() {
            inputs.extend(package_path(report, &step.at.key("inputs").index(i), text));
        }
    }
    let commands: Vec<_> = steps.into_iter().map(|step| step.command).collect();
    (!commands.is_empty()).then_some(Build { commands, inputs, makes_artifact })
}

pub(crate) fn run(report: &mut Report<'_>, at: &KeyPath, raw: RawPhase) -> Option<Run> {
    let mut steps = steps(report, at, raw);
    if steps.len() > 1 {
        report.problem(at, "must be one command: the one that keeps running");
    }
    let step = steps.pop()?;
    refuse_inputs(report, &step);
    let ready_timeout = step.options.ready_timeout.as_deref();
    let ready_timeout = ready_timeout.and_then(|text| report.some_duration(&step.at.key("readyTimeout"), text));
    let serves_ui = match step.options.role.as_deref() {
        None => false,
        Some("ui") => true,
        Some(_) => {
            report.problem(&step.at.key("role"), "must be `ui`, or left out");
            false
        }
    };
    Some(Run { command: step.command, ready_timeout, serves_ui })
}

/// The older spelling of `build`: one command that prepares the source tree.
pub(crate) fn release(report: &mut Report<'_>, at: &KeyPath, raw: RawReleaseBuild) -> Option<Build> {
    let options = RawCommand { command: raw.command, workdir: raw.workdir, ..RawCommand::default() };
    let step = command(report, at, options)?;
    Some(Build { commands: vec![step.command], inputs: Vec::new(), makes_artifact: false })
}

fn refuse_inputs(report: &mut Report<'_>, step: &Step) {
    if step.options.inputs.is_some() {
        report.problem(&step.at.key("inputs"), "means something in `build` only");
    }
}

/// What means something for a command that keeps running only.
fn refuse_run_options(report: &mut Report<'_>, step: &Step) {
    for (key, given) in [("readyTimeout", &step.options.ready_timeout), ("role", &step.options.role)] {
        if given.is_some() {
            report.problem(&step.at.key(key), "means something in `run` only");
        }
    }
}

/// The three forms as one: a list of words is one command, an object is one, a list of either is several.
fn steps(report: &mut Report<'_>, at: &KeyPath, raw: RawPhase) -> Vec<Step> {
    let raw = match raw {
        RawPhase::Command(options) => return command(report, at, options).into_iter().collect(),
        RawPhase::Steps(steps) => steps,
    };
    if raw.is_empty() {
        report.problem(at, "has no command");
    }
    let words = raw.iter().filter(|step| matches!(step, RawStep::Word(_))).count();
    if words == raw.len() {
        let argv = raw.into_iter().filter_map(|step| if let RawStep::Word(word) = step { Some(word) } else { None });
        let options = RawCommand { command: Some(argv.collect()), ..RawCommand::default() };
        return if words == 0 { Vec::new() } else { command(report, at, options).into_iter().collect() };
    }
    if words > 0 {
        let hint = "write one list of words, or a list of lists".to_owned();
        report.hinted(at, "mixes words of one command with whole commands", Some(hint));
        return Vec::new();
    }
    let mut steps = Vec::new();
    for (i, step) in raw.into_iter().enumerate() {
        let options = match step {
            RawStep::Argv(argv) => RawCommand { command: Some(argv), ..RawCommand::default() },
            RawStep::Command(options) => options,
            RawStep::Word(_) => continue,
        };
        steps.extend(command(report, &at.index(i), options));
    }
    steps
}

fn command(report: &mut Report<'_>, at: &KeyPath, mut options: RawCommand) -> Option<Step> {
    let is_object = report.tree.find(at).node.is_some_and(|node| node.map().is_some());
    let argv_at = if is_object { at.key("command") } else { at.clone() };
    let argv = options.command.take().unwrap_or_default();
    if argv.is_empty() {
        report.problem(&argv_at, "has no command");
        return None;
    }
    for (i, word) in argv.iter().enumerate().filter(|(_, word)| word.trim().is_empty()) {
        let message = if word.is_empty() { "must not be empty" } else { "must not be blank" };
        report.problem(&argv_at.index(i), message);
    }
    let workdir = match options.workdir.take() {
        None => PathBuf::new(),
        Some(text) if text == "." => PathBuf::new(),
        Some(text) => package_path(report, &at.key("workdir"), &text).unwrap_or_default(),
    };
    let env = options.env.take().unwrap_or_default();
    let env = env.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    Some(Step { at: at.clone(), command: Command { argv, workdir, env }, options })
}
