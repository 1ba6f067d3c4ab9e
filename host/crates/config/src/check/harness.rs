//! `providers.agent.<name>.harnesses`.

use super::Report;
use super::app::trimmed;
use super::auth::secrets;
use crate::deployment::{Harness, InstallCommand, InstallRun};
use crate::path::KeyPath;
use crate::raw::providers::{RawHarness, RawInstallCommand};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) fn harnesses(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawHarness>>,
) -> BTreeMap<String, Harness> {
    let mut harnesses = BTreeMap::new();
    for (name, raw) in raw {
        let at = at.key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a harness needs a `command`") else { continue };
        let Some(command) = report.needed(&at.key("command"), raw.command, "the program") else { continue };
        let install = raw.install.unwrap_or_default();
        let steps = install.commands.into_iter().flatten().enumerate();
        let step_at = at.dotted("install.commands");
        let install_commands = steps.filter_map(|(i, raw)| step(report, &step_at.index(i), raw)).collect();
        let harness = Harness {
            command,
            args: raw.args.unwrap_or_default(),
            env: secrets(raw.env),
            working_directory: trimmed(raw.working_directory).map(PathBuf::from),
            required_commands: report.distinct(&at.key("requiredCommands"), raw.required_commands),
            instructions: trimmed(install.instructions),
            install: install_commands,
        };
        harnesses.insert(name, harness);
    }
    harnesses
}

fn step(report: &mut Report<'_>, at: &KeyPath, raw: RawInstallCommand) -> Option<InstallCommand> {
    let run = match (trimmed(raw.command), trimmed(raw.shell)) {
        (Some(command), None) => {
            InstallRun::Command(std::iter::once(command).chain(raw.args.unwrap_or_default()).collect())
        }
        (None, Some(line)) => {
            if raw.args.is_some() {
                report.problem(&at.key("args"), "belongs to `command`, not to `shell`");
            }
            InstallRun::Shell(line)
        }
        (Some(_), Some(_)) => {
            report.problem(at, "has both `command` and `shell`; write one of them");
            return None;
        }
        (None, None) => {
            report.problem(at, "needs `command` or `shell`");
            return None;
        }
    };
    Some(InstallCommand { description: trimmed(raw.description), run, env: secrets(raw.env) })
}
