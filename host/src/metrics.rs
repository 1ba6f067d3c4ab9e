//! What the daemon counts, as OpenTelemetry instruments that `/metrics` shows in Prometheus' text format.
//!
//! A family `x` is a counter `x.count`, a counter `x.error_count` and a histogram `x.duration` in seconds. Labels only
//! ever hold names of the deployment and words of this file: what callers and apps write has no bound.

use crate::sandboxes::{Sandbox, State};
use anyhow::Context;
use gestalt_core::metrics::{Event, Meter};
use gestalt_core::{AppName, Origin};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use std::time::Duration;

/// The daemon's instruments, and the registry they are read from.
pub struct Metrics {
    registry: Registry,
    /// Keeps the instruments connected to the registry.
    _provider: SdkMeterProvider,
    operation: Family,
    limit: Counter<u64>,
    connections: Counter<u64>,
    trap: Counter<u64>,
    breaker: Gauge<u64>,
    compile: Histogram<f64>,
    egress: Counter<u64>,
    sandbox_state: Gauge<u64>,
    sandbox_missing: Gauge<u64>,
}

/// Count, errors and duration of one kind of thing.
struct Family {
    count: Counter<u64>,
    errors: Counter<u64>,
    duration: Histogram<f64>,
}

/// From what a cached call costs to what the longest call may take, in seconds.
const SECONDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

impl Metrics {
    /// Instruments that have counted nothing yet.
    ///
    /// # Errors
    /// When the exporter cannot be registered.
    pub fn build() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .context("metrics")?;
        let resource = Resource::builder_empty().with_service_name("gestaltd").build();
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build();
        let meter = provider.meter("gestaltd");
        let counter = |name: &'static str, says| meter.u64_counter(name).with_description(says).build();
        let gauge = |name: &'static str, says| meter.u64_gauge(name).with_description(says).build();
        let seconds = |name: &'static str, says| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(SECONDS.into()).with_description(says).build()
        };
        Ok(Self {
            operation: Family {
                count: counter("gestaltd.operation.count", "Invocations that ended."),
                errors: counter("gestaltd.operation.error_count", "Invocations with status 400 or above."),
                duration: seconds("gestaltd.operation.duration", "From the guard to the answer."),
            },
            limit: counter("gestaltd.limit.count", "Bounds that an app reached."),
            connections: counter("gestaltd.connection.limit.count", "Bounds of a listener that clients reached."),
            trap: counter("gestaltd.wasm.trap.count", "Components that trapped."),
            breaker: gauge("gestaltd.wasm.breaker.open", "1 while an app's circuit breaker turns calls away."),
            compile: seconds("gestaltd.wasm.compile.duration", "Making a component ready to run."),
            egress: counter("gestaltd.egress.count", "Outgoing requests of apps."),
            sandbox_state: gauge("gestaltd.sandbox.state", "1 for how far a native app's sandbox goes."),
            sandbox_missing: gauge("gestaltd.sandbox.missing", "1 for a wall that a native app's sandbox lacks."),
            registry,
            _provider: provider,
        })
    }

    /// Everything counted so far, in Prometheus' text format.
    ///
    /// # Errors
    /// When the encoder refuses what was gathered.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Metrics {
    /// How far the sandbox of a native app goes, and what of it is missing.
    pub fn sandbox(&self, app: &AppName, sandbox: &Sandbox) {
        for state in State::ALL {
            let labels = [provider(app), KeyValue::new("gestalt.state", state.as_str())];
            self.sandbox_state.record(u64::from(state == sandbox.state), &labels);
        }
        for missing in &sandbox.missing {
            self.sandbox_missing.record(1, &[provider(app), KeyValue::new("gestalt.wall", missing.wall)]);
        }
    }
}

impl Meter for Metrics {
    fn record(&self, event: Event) {
        match event {
            Event::Operation { app, operation, transport, source, status, duration } => self.operation.record(
                duration,
                status >= 400,
                &[
                    KeyValue::new("gestalt.provider", app.map_or_else(unknown, |app| app.to_string())),
                    KeyValue::new("gestalt.operation", operation.map_or_else(unknown, |id| id.to_string())),
                    KeyValue::new("gestalt.transport", transport.map_or("unknown", |transport| transport.as_str())),
                    KeyValue::new("gestalt.connection_mode", "none"),
                    KeyValue::new("gestalt.invocation_surface", Origin::as_str(source)),
                    KeyValue::new("gestalt.result_status", i64::from(status)),
                    KeyValue::new("gestalt.result_status_class", class(status)),
                ],
            ),
            Event::Limit { app, limit } => self.limit.add(1, &[provider(&app), KeyValue::new("gestalt.limit", limit)]),
            Event::ConnectionLimit { limit } => self.connections.add(1, &[KeyValue::new("gestalt.limit", limit)]),
            Event::Trap { app } => self.trap.add(1, &[provider(&app)]),
            Event::Breaker { app, open } => self.breaker.record(u64::from(open), &[provider(&app)]),
            Event::Compile { cached, duration } => {
                self.compile.record(duration.as_secs_f64(), &[KeyValue::new("gestalt.cached", cached)]);
            }
            Event::Egress { app, denied, observed } => {
                let decision = match (denied, observed) {
                    (_, true) => "observed",
                    (Some(_), false) => "denied",
                    (None, false) => "allowed",
                };
                let reason = denied.map_or("", |reason| reason.as_str());
                let labels = [KeyValue::new("gestalt.decision", decision), KeyValue::new("gestalt.reason", reason)];
                self.egress.add(1, &[&[provider(&app)][..], &labels].concat());
            }
        }
    }
}

impl Family {
    fn record(&self, duration: Duration, is_error: bool, labels: &[KeyValue]) {
        self.count.add(1, labels);
        if is_error {
            self.errors.add(1, labels);
        }
        self.duration.record(duration.as_secs_f64(), labels);
    }
}

fn provider(app: &AppName) -> KeyValue {
    KeyValue::new("gestalt.provider", app.to_string())
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "1xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::Transport;
    use gestalt_core::egress::DenyReason;

    /// The schema that dashboards and the admin page depend on: names, labels, and what makes a line.
    #[test]
    fn the_exposition_is_what_dashboards_read() {
        let (metrics, app) = (Metrics::build().unwrap(), AppName::parse("github").unwrap());
        let operation = |app: Option<&AppName>, status| Event::Operation {
            app: app.cloned(),
            operation: app.map(|_| "issues.list".into()),
            transport: app.map(|_| Transport::Rest),
            source: Origin::Http,
            status,
            duration: Duration::from_millis(2),
        };
        metrics.record(operation(Some(&app), 200));
        metrics.record(operation(Some(&app), 200));
        metrics.record(operation(None, 404));
        metrics.record(Event::Limit { app: app.clone(), limit: "memory" });
        metrics.record(Event::ConnectionLimit { limit: "headTimeout" });
        metrics.record(Event::Trap { app: app.clone() });
        metrics.record(Event::Breaker { app: app.clone(), open: true });
        metrics.record(Event::Compile { cached: false, duration: Duration::from_secs(2) });
        for (denied, observed) in
            [(None, false), (Some(DenyReason::HostNotAllowed), false), (Some(DenyReason::DefaultDeny), true)]
        {
            metrics.record(Event::Egress { app: app.clone(), denied, observed });
        }
        let means = gestalt_confine::Means { filter: Some("no seccomp".into()), ..gestalt_confine::Means::all() };
        metrics.sandbox(&app, &Sandbox::of(&means));
        let text = metrics.render().unwrap();
        let ok = r#"gestalt_connection_mode="none",gestalt_invocation_surface="http",gestalt_operation="issues.list",gestalt_provider="github",gestalt_result_status="200",gestalt_result_status_class="2xx",gestalt_transport="rest""#;
        for line in [
            &format!("gestaltd_operation_count_total{{{ok}}} 2"),
            &format!("gestaltd_operation_duration_seconds_count{{{ok}}} 2"),
            &format!("gestaltd_operation_duration_seconds_bucket{{{ok},le=\"0.0025\"}} 2"),
            r#"gestaltd_limit_count_total{gestalt_limit="memory",gestalt_provider="github"} 1"#,
            r#"gestaltd_connection_limit_count_total{gestalt_limit="headTimeout"} 1"#,
            r#"gestaltd_wasm_trap_count_total{gestalt_provider="github"} 1"#,
            r#"gestaltd_sandbox_state{gestalt_provider="github",gestalt_state="partial"} 1"#,
            r#"gestaltd_sandbox_state{gestalt_provider="github",gestalt_state="whole"} 0"#,
            r#"gestaltd_sandbox_missing{gestalt_provider="github",gestalt_wall="system calls"} 1"#,
            r#"gestaltd_wasm_breaker_open{gestalt_provider="github"} 1"#,
            r#"gestaltd_wasm_compile_duration_seconds_count{gestalt_cached="false"} 1"#,
            r#"gestaltd_egress_count_total{gestalt_decision="allowed",gestalt_provider="github",gestalt_reason=""} 1"#,
            r#"gestaltd_egress_count_total{gestalt_decision="denied",gestalt_provider="github",gestalt_reason="host_not_allowed"} 1"#,
            r#"gestaltd_egress_count_total{gestalt_decision="observed",gestalt_provider="github",gestalt_reason="default_deny"} 1"#,
        ] {
            assert!(text.lines().any(|is| is == line), "no {line} in\n{text}");
        }
        let errors: Vec<_> =
            text.lines().filter(|line| line.starts_with("gestaltd_operation_error_count_total{")).collect();
        assert!(
            matches!(errors[..], [line] if line.contains(r#"gestalt_provider="unknown""#) && line.contains("404")),
            "{errors:?}"
        );
    }
}
