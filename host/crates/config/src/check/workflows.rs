//! `workflows`.

use super::Report;
use super::app::trimmed;
use super::known::{Known, Names};
use super::steps;
use crate::deployment::{Cron, EventTrigger, RunAs, Schedule, Workflow, Workflows};
use crate::path::KeyPath;
use crate::raw::app::RawRunAs;
use crate::raw::workflows::{RawGrant, RawSchedule, RawTrigger, RawWorkflow, RawWorkflows};
use croner::parser::{CronParser, Seconds, Year};
use gestalt_core::{AppName, SubjectRef};
use std::collections::BTreeMap;

/// What workflows are checked against.
pub(crate) struct Around<'a> {
    pub(crate) known: &'a Known,
    /// The scheduler of a workflow that names none.
    pub(crate) scheduler: Option<&'a str>,
    /// The agent of a step that names none.
    pub(crate) agent: Option<&'a str>,
}

pub(crate) fn workflows(report: &mut Report<'_>, raw: RawWorkflows, around: &Around<'_>) -> Workflows {
    let at = KeyPath::default().key("workflows");
    let (mut schedules, mut event_triggers) = (BTreeMap::new(), BTreeMap::new());
    for (name, raw) in raw.schedules.unwrap_or_default() {
        let at = at.key("schedules").key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a schedule needs `cron` and `target`") else { continue };
        schedules.extend(schedule(report, &at, raw, around).map(|schedule| (name, schedule)));
    }
    for (name, raw) in raw.event_triggers.unwrap_or_default() {
        let at = at.key("eventTriggers").key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a trigger needs `match` and `target`") else { continue };
        event_triggers.extend(trigger(report, &at, raw, around).map(|trigger| (name, trigger)));
    }
    Workflows { schedules, event_triggers }
}

fn schedule(report: &mut Report<'_>, at: &KeyPath, raw: RawSchedule, around: &Around<'_>) -> Option<Schedule> {
    let cron = report.needed(&at.key("cron"), raw.cron, "minute, hour, day of month, month and day of week");
    let cron = cron.and_then(|text| cron_line(report, &at.key("cron"), text));
    let timezone = trimmed(raw.timezone).unwrap_or_else(|| "UTC".to_owned());
    if jiff::tz::TimeZone::get(&timezone).is_err() {
        let hint = "write an IANA name, such as `UTC` or `America/New_York`".to_owned();
        report.hinted(&at.key("timezone"), "is no time zone", Some(hint));
    }
    let workflow = workflow(report, at, raw.workflow, around);
    Some(Schedule { cron: cron?, timezone, workflow: workflow? })
}

/// Five fields. Neither seconds nor names such as `@daily` are part of the format.
fn cron_line(report: &mut Report<'_>, at: &KeyPath, text: String) -> Option<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let fields = text.split_whitespace().count();
    let hint =
        || Some("write `MINUTE HOUR DAY MONTH WEEKDAY`, such as `0 3 * * *` or `*/15 8-18 * * MON-FRI`".to_owned());
    if text.contains('@') {
        report.hinted(at, "is a nickname; five fields are needed", hint());
        return None;
    }
    if fields != 5 {
        report.hinted(at, format!("has {fields} fields; five are needed"), hint());
        return None;
    }
    match parser.parse(&text) {
        Ok(schedule) => Some(Cron { text, schedule }),
        Err(_) => {
            report.hinted(at, "is no time: one of its fields is out of range or malformed", hint());
            None
        }
    }
}

fn trigger(report: &mut Report<'_>, at: &KeyPath, raw: RawTrigger, around: &Around<'_>) -> Option<EventTrigger> {
    let matches = raw.matches.unwrap_or_default();
    let kind = report.needed(&at.dotted("match.type"), matches.kind, "the type of the events meant");
    let workflow = workflow(report, at, raw.workflow, around);
    Some(EventTrigger {
        kind: kind?,
        source: trimmed(matches.source),
        subject: trimmed(matches.subject),
        workflow: workflow?,
    })
}

fn workflow(report: &mut Report<'_>, at: &KeyPath, raw: RawWorkflow, around: &Around<'_>) -> Option<Workflow> {
    let known = &around.known.workflow;
    let provider = one_of(report, &at.key("provider"), raw.provider, known, around.scheduler);
    let steps_at = at.dotted("target.steps");
    let steps = steps::steps(report, &steps_at, raw.target.and_then(|target| target.steps), around);
    let run_as = raw.run_as.and_then(|raw| run_as(report, &at.key("runAs"), raw));
    let mut invokes = Vec::new();
    for (i, raw) in raw.invokes.into_iter().flatten().enumerate() {
        invokes.extend(grant(report, &at.key("invokes").index(i), raw, around.known));
    }
    let paused = raw.paused.unwrap_or(false);
    Some(Workflow { at: report.locate(at), provider: provider?, steps, run_as, invokes, paused })
}

/// The provider named, or the one used when none is.
pub(crate) fn one_of(
    report: &mut Report<'_>,
    at: &KeyPath,
    named: Option<String>,
    known: &Names,
    default: Option<&str>,
) -> Option<String> {
    if trimmed(named.clone()).is_some() {
        return report.named(at, named, known);
    }
    if default.is_none() {
        let message = match known.keys.is_empty() {
            true => format!("is required, and `{}` has no entry", known.map),
            false => format!("is required: `{}` has several entries, and none is the default", known.map),
        };
        report.problem(at, message);
    }
    default.map(str::to_owned)
}

fn grant(report: &mut Report<'_>, at: &KeyPath, raw: RawGrant, known: &Known) -> Option<(AppName, String)> {
    let app = app_name(report, &at.key("app"), raw.app, known);
    let operation = report.needed(&at.key("operation"), raw.operation, "an operation of the app");
    Some((app?, operation?))
}

/// A key of `apps`.
pub(crate) fn app_name(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>, known: &Known) -> Option<AppName> {
    AppName::parse(&report.must_name(at, raw, &known.apps)?).ok()
}

/// Who something runs as: a service account.
pub(crate) fn run_as(report: &mut Report<'_>, at: &KeyPath, raw: RawRunAs) -> Option<RunAs> {
    let at = at.key("subject");
    let raw = raw.subject.unwrap_or_default();
    let subject = report.subject(&at.key("id"), raw.id).filter(|subject: &SubjectRef| {
        let fits = subject.kind() == "service_account";
        if !fits {
            let hint = "write `service_account:<id>`".to_owned();
            report.hinted(&at.key("id"), "only a service account can be run as", Some(hint));
        }
        fits
    });
    if trimmed(raw.kind).is_some_and(|kind| subject.as_ref().is_some_and(|subject| subject.kind() != kind)) {
        report.problem(&at.key("kind"), "differs from the kind in `id`");
    }
    let given = raw.credential_subject_id.is_some();
    let credential_subject =
        given.then(|| report.subject(&at.key("credentialSubjectId"), raw.credential_subject_id)).flatten();
    Some(RunAs {
        subject: subject?,
        credential_subject,
        display_name: trimmed(raw.display_name),
        auth_source: trimmed(raw.auth_source),
    })
}
