//! Entries of `providers` that are built in.

use super::Report;
use super::app::trimmed;
use super::auth::secrets as secret_texts;
use super::manifest::connections::texts;
use super::providers::{Around, builtin_of, provider};
use crate::deployment::{Audit, Database, Level, LogStyle, Otlp, Secrets, Telemetry};
use crate::path::KeyPath;
use crate::raw::builtin::{
    RawAuditOtlp, RawAuditStdout, RawExporter, RawFormat, RawLevel, RawLogExport, RawPrometheus, RawProtocol,
    RawRelationalDb, RawSecretsEnv, RawSecretsFile, RawTelemetryOtlp, RawTelemetryStdout,
};
use crate::raw::providers::RawProvider;
use crate::raw::wasm::RawWasm;
use gestalt_core::Secret;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The configurations whose form is known, by the name of their entry.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    pub(crate) wasm: BTreeMap<String, RawWasm>,
    pub(crate) secrets_env: BTreeMap<String, RawSecretsEnv>,
    pub(crate) secrets_file: BTreeMap<String, RawSecretsFile>,
    pub(crate) relational: BTreeMap<String, RawRelationalDb>,
    pub(crate) telemetry_stdout: BTreeMap<String, RawTelemetryStdout>,
    pub(crate) telemetry_otlp: BTreeMap<String, RawTelemetryOtlp>,
    pub(crate) audit_stdout: BTreeMap<String, RawAuditStdout>,
    pub(crate) audit_otlp: BTreeMap<String, RawAuditOtlp>,
}

/// A built-in is part of the daemon: what only a process of its own has means nothing.
fn refuse_process_keys(report: &mut Report<'_>, at: &KeyPath, raw: &RawProvider) {
    for (key, given) in [("env", raw.env.is_some()), ("egress", raw.egress.is_some())] {
        if given {
            report.problem(&at.key(key), "means nothing for a built-in provider");
        }
    }
}

fn refuse_config(report: &mut Report<'_>, at: &KeyPath, raw: &RawProvider, name: &str) {
    if raw.config.is_some() {
        report.problem(&at.key("config"), format!("`{name}` has nothing to configure"));
    }
}

pub(crate) fn secrets(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawProvider,
    name: &str,
    around: &Around<'_>,
) -> Option<Secrets> {
    let Some(builtin) = builtin_of("secrets", raw.source.as_ref()) else {
        return Some(Secrets::Package(Box::new(provider(report, at, raw, around.known)?)));
    };
    refuse_process_keys(report, at, &raw);
    if builtin == "file" {
        let dir = around.typed.secrets_file.get(name).and_then(|config| config.dir.clone());
        let dir = report.needed(&at.dotted("config.dir"), dir, "the directory that holds a file for each secret")?;
        return Some(Secrets::File { dir: PathBuf::from(dir) });
    }
    let prefix = around.typed.secrets_env.get(name).and_then(|config| config.prefix.clone());
    Some(Secrets::Env { prefix: prefix.unwrap_or_default() })
}

pub(crate) fn database(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawProvider,
    name: &str,
    around: &Around<'_>,
) -> Option<Database> {
    if builtin_of("indexeddb", raw.source.as_ref()).is_none() {
        return Some(Database::Package(Box::new(provider(report, at, raw, around.known)?)));
    }
    refuse_process_keys(report, at, &raw);
    let dsn = around.typed.relational.get(name).and_then(|config| trimmed(config.dsn.clone()));
    if dsn.as_deref().is_some_and(|dsn| !["sqlite:", "postgres:", "postgresql:"].iter().any(|s| dsn.starts_with(s))) {
        let hint = "write `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`".to_owned();
        report.hinted(&at.dotted("config.dsn"), "is of no database that is built in", Some(hint));
    }
    Some(Database::Relational { dsn: dsn.map(Secret::new) })
}

pub(crate) fn telemetry(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawProvider,
    name: &str,
    around: &Around<'_>,
) -> Option<Telemetry> {
    let Some(builtin) = builtin_of("telemetry", raw.source.as_ref()) else {
        return Some(Telemetry::Package(Box::new(provider(report, at, raw, around.known)?)));
    };
    refuse_process_keys(report, at, &raw);
    match builtin {
        "noop" => {
            refuse_config(report, at, &raw, builtin);
            Some(Telemetry::Noop)
        }
        "otlp" => {
            let default = RawTelemetryOtlp::default();
            Some(telemetry_otlp(report, &at.key("config"), around.typed.telemetry_otlp.get(name).unwrap_or(&default)))
        }
        _ => {
            let default = RawTelemetryStdout::default();
            let raw = around.typed.telemetry_stdout.get(name).unwrap_or(&default);
            let prometheus = raw.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
            Some(Telemetry::Stdout {
                log: style(raw.format, raw.level),
                service_name: service_name(&raw.service_name),
                resource_attributes: texts(raw.resource_attributes.clone()),
                prometheus: enabled(prometheus),
            })
        }
    }
}

fn telemetry_otlp(report: &mut Report<'_>, at: &KeyPath, raw: &RawTelemetryOtlp) -> Telemetry {
    let sampling_ratio = raw.traces.as_ref().and_then(|traces| traces.sampling_ratio).unwrap_or(1.0);
    if !(0.0..=1.0).contains(&sampling_ratio) {
        report.problem(&at.dotted("traces.samplingRatio"), "must be between 0 and 1");
    }
    let interval = raw.metrics.as_ref().and_then(|metrics| metrics.interval.as_deref());
    let interval = report.duration(&at.dotted("metrics.interval"), interval, Duration::from_secs(60));
    let default = RawLogExport::default();
    let logs = raw.logs.as_ref().unwrap_or(&default);
    Telemetry::Otlp {
        export: Otlp {
            endpoint: trimmed(raw.endpoint.clone()),
            http: matches!(raw.protocol, Some(RawProtocol::Http)),
            insecure: raw.insecure.unwrap_or(false),
            headers: secret_texts(raw.headers.clone()),
            service_name: service_name(&raw.service_name),
            resource_attributes: texts(raw.resource_attributes.clone()),
        },
        sampling_ratio,
        interval,
        prometheus: enabled(raw.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref())),
        export_logs: !matches!(logs.exporter, Some(RawExporter::Stdout)),
        log: style(logs.format, logs.level),
    }
}

pub(crate) fn audit(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawProvider,
    name: &str,
    around: &Around<'_>,
) -> Option<Audit> {
    let Some(builtin) = builtin_of("audit", raw.source.as_ref()) else {
        return Some(Audit::Package(Box::new(provider(report, at, raw, around.known)?)));
    };
    refuse_process_keys(report, at, &raw);
    if matches!(builtin, "inherit" | "noop") {
        refuse_config(report, at, &raw, builtin);
    }
    Some(match builtin {
        "noop" => Audit::Noop,
        "stdout" => {
            let raw = around.typed.audit_stdout.get(name);
            Audit::Stdout(style(raw.and_then(|raw| raw.format), raw.and_then(|raw| raw.level)))
        }
        "otlp" => {
            let default = RawAuditOtlp::default();
            let raw = around.typed.audit_otlp.get(name).unwrap_or(&default);
            Audit::Otlp(Otlp {
                endpoint: trimmed(raw.endpoint.clone()),
                http: matches!(raw.protocol, Some(RawProtocol::Http)),
                insecure: raw.insecure.unwrap_or(false),
                headers: secret_texts(raw.headers.clone()),
                service_name: service_name(&raw.service_name),
                resource_attributes: texts(raw.resource_attributes.clone()),
            })
        }
        _ => Audit::Inherit,
    })
}

fn service_name(given: &Option<String>) -> String {
    trimmed(given.clone()).unwrap_or_else(|| "gestaltd".to_owned())
}

fn enabled(raw: Option<&RawPrometheus>) -> bool {
    raw.and_then(|raw| raw.enabled).unwrap_or(true)
}

fn style(format: Option<RawFormat>, level: Option<RawLevel>) -> LogStyle {
    let level = match level {
        None | Some(RawLevel::Info) => Level::Info,
        Some(RawLevel::Debug) => Level::Debug,
        Some(RawLevel::Warn) => Level::Warn,
        Some(RawLevel::Error) => Level::Error,
    };
    LogStyle { json: matches!(format, Some(RawFormat::Json)), level }
}

impl crate::deployment::Providers {
    /// What is there when nothing is written: secrets from the environment, telemetry to standard output, audit records
    /// where log lines go.
    pub(crate) fn with_defaults(mut self) -> Self {
        fn default<T>(kind: &mut crate::deployment::Entries<T>, entry: T) {
            if kind.entries.is_empty() && kind.selected.is_none() {
                kind.entries.insert("default".to_owned(), entry);
                kind.selected = Some("default".to_owned());
            }
        }
        default(&mut self.secrets, Secrets::Env { prefix: String::new() });
        default(
            &mut self.telemetry,
            Telemetry::Stdout {
                log: LogStyle::default(),
                service_name: service_name(&None),
                resource_attributes: BTreeMap::new(),
                prometheus: true,
            },
        );
        default(&mut self.audit, Audit::Inherit);
        self
    }
}
