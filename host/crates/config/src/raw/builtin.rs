//! `config` of the built-in providers of secrets, telemetry and audit.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Secrets from the environment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSecretsEnv {
    /// Before each name.
    pub(crate) prefix: Option<String>,
}

/// Secrets from files.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSecretsFile {
    /// Has one file for each secret.
    pub(crate) dir: Option<String>,
}

/// The embedded database.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRelationalDb {
    /// `sqlite://…` or `postgres://…`.
    pub(crate) dsn: Option<String>,
}

/// Telemetry to standard output.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTelemetryStdout {
    /// Of log lines.
    pub(crate) format: Option<RawFormat>,
    /// Least important log line written.
    pub(crate) level: Option<RawLevel>,
    /// Attached to metrics.
    pub(crate) service_name: Option<String>,
    /// Attached to metrics.
    pub(crate) resource_attributes: Option<BTreeMap<String, Option<String>>>,
    /// Metrics.
    pub(crate) metrics: Option<RawLocalMetrics>,
}

/// Telemetry to a collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTelemetryOtlp {
    /// Address of the collector.
    pub(crate) endpoint: Option<String>,
    /// Transport.
    pub(crate) protocol: Option<RawProtocol>,
    /// Whether TLS certificates go unchecked.
    pub(crate) insecure: Option<bool>,
    /// On every export.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// Attached to everything.
    pub(crate) service_name: Option<String>,
    /// Attached to everything.
    pub(crate) resource_attributes: Option<BTreeMap<String, Option<String>>>,
    /// Traces.
    pub(crate) traces: Option<RawTraces>,
    /// Metrics.
    pub(crate) metrics: Option<RawMetrics>,
    /// Logs.
    pub(crate) logs: Option<RawLogExport>,
}

/// Audit records to standard output.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuditStdout {
    /// Of records.
    pub(crate) format: Option<RawFormat>,
    /// `warn` leaves out what was allowed.
    pub(crate) level: Option<RawLevel>,
}

/// Where audit records go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuditLogs {
    /// The collector; there is no other.
    #[allow(dead_code, reason = "there is no other")]
    pub(crate) exporter: Option<RawAuditExporter>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawAuditExporter {
    Otlp,
}

/// Audit records to a collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuditOtlp {
    /// Address of the collector.
    pub(crate) endpoint: Option<String>,
    /// Transport.
    pub(crate) protocol: Option<RawProtocol>,
    /// Whether TLS certificates go unchecked.
    pub(crate) insecure: Option<bool>,
    /// On every export.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// Attached to every record.
    pub(crate) service_name: Option<String>,
    /// Attached to every record.
    pub(crate) resource_attributes: Option<BTreeMap<String, Option<String>>>,
    /// Where records go.
    #[allow(dead_code, reason = "says what is so anyway")]
    pub(crate) logs: Option<RawAuditLogs>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawProtocol {
    Grpc,
    Http,
}

/// Traces.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTraces {
    /// Share of traces kept, 0 to 1.
    pub(crate) sampling_ratio: Option<f64>,
}

/// Metrics on this machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawLocalMetrics {
    /// `/metrics`.
    pub(crate) prometheus: Option<RawPrometheus>,
}

/// Metrics.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMetrics {
    /// Between two exports.
    pub(crate) interval: Option<String>,
    /// `/metrics`.
    pub(crate) prometheus: Option<RawPrometheus>,
}

/// `/metrics`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPrometheus {
    /// Whether it answers.
    pub(crate) enabled: Option<bool>,
}

/// Logs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawLogExport {
    /// Where they go.
    pub(crate) exporter: Option<RawExporter>,
    /// Least important line written.
    pub(crate) level: Option<RawLevel>,
    /// On standard output.
    pub(crate) format: Option<RawFormat>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawExporter {
    Otlp,
    Stdout,
}
