//! Where an app runs, and what bounds it there.

use super::Comparison;
use super::server::Time;
use crate::deployment::{App, Deployment, Placement, Runtime, WASM, WasmRuntime};
use crate::path::KeyPath;
use gestalt_core::limits::{
    BreakerLimits, ByteSize, CompileLimits, EgressLimits, Isolation, Limits, PoolLimits, RuntimeLimits,
};
use std::fmt;

/// Where an app's code runs.
enum Place<'a> {
    /// A component runs in a wasm runtime, anything else as a process of this machine: the package decides.
    ByPackage,
    /// Nothing but a component runs there.
    Wasm(&'a str),
    /// A process of this machine.
    Local,
    /// A session of this backend.
    Hosted(&'a str),
}

impl<'a> Place<'a> {
    fn of(deployment: &'a Deployment, app: &'a App) -> Self {
        let Some(Placement { runtime, .. }) = &app.placement else { return Self::ByPackage };
        match deployment.runtimes.get(runtime) {
            Some(Runtime::Wasm(_)) => Self::Wasm(runtime),
            Some(Runtime::Hosted(_)) => Self::Hosted(runtime),
            Some(Runtime::Local) | None => Self::Local,
        }
    }

    /// Whether code that ran in `self` may have more around it in `other`. Of two backends nobody knows which is the
    /// stronger one.
    fn may_widen_to(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Wasm(_)) | (Self::ByPackage, Self::ByPackage) | (Self::Local, Self::ByPackage | Self::Local) => {
                false
            }
            (Self::Hosted(one), Self::Hosted(other)) => one != other,
            (Self::Wasm(_), _) | (Self::ByPackage, _) | (Self::Local, _) | (Self::Hosted(_), _) => true,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPackage => {
                f.write_str("a component in the wasm runtime, or a process of this machine, as the package has it")
            }
            Self::Wasm(name) => write!(f, "a component in the wasm runtime `{name}`"),
            Self::Local => f.write_str("a process of this machine"),
            Self::Hosted(name) => write!(f, "a session of the runtime `{name}`"),
        }
    }
}

/// A bound: a number, a size, a time. Compared with others of its own kind only.
#[derive(PartialEq, PartialOrd)]
enum Amount {
    Count(u64),
    Size(ByteSize),
    Time(Time),
    /// Never reached.
    Never,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Size(size) => size.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Comparison<'_> {
    pub(super) fn placement(&mut self, who: &str, at: &KeyPath, before: &App, after: &App) {
        let (was, is) = (Place::of(self.before, before), Place::of(self.after, after));
        if was.may_widen_to(&is) {
            self.say(Some(who), self.where_it_says(at, after), was, is);
        } else {
            self.wasm(who, at, before, after);
        }
    }

    /// The key that puts the app where it runs.
    fn where_it_says(&self, at: &KeyPath, app: &App) -> KeyPath {
        let own = at.dotted("runtime.provider");
        let has = |of: &Deployment| of.origin.tree.find(&own).node.is_some();
        let runtime = |of: &App| of.placement.as_ref().map(|placement| placement.runtime.clone());
        let same = self.before.apps.get(&app.name).is_some_and(|before| runtime(before) == runtime(app));
        match &app.placement {
            Some(placement) if same => KeyPath::default().dotted("runtime.providers").key(&placement.runtime),
            Some(_) if !has(self.before) && !has(self.after) => {
                KeyPath::default().dotted("server.runtime.defaultProvider")
            }
            Some(_) => own,
            None => at.key("runtime"),
        }
    }

    /// The bounds of an app that is, or may be, a component.
    fn wasm(&mut self, who: &str, at: &KeyPath, before: &App, after: &App) {
        let (Some((was_in, was)), Some((is_in, is))) = (runtime(self.before, before), runtime(self.after, after))
        else {
            return;
        };
        let template = |app: &'_ App| app.placement.as_ref().and_then(|placement| placement.template.clone());
        let (old, new) = (template(before), template(after));
        let same_profile = was_in == is_in && old == new;
        let config = KeyPath::default().dotted("runtime.providers").key(is_in).key("config");
        let profile = new.as_ref().map(|name| config.key("templates").key(name));
        let bounds = of_app(was.limits_for(old.as_deref())).into_iter().zip(of_app(is.limits_for(new.as_deref())));
        for ((key, was), (_, is)) in bounds {
            let own = profile.as_ref().map(|profile| profile.dotted(key)).filter(|own| {
                let has = |of: &Deployment| of.origin.tree.find(own).node.is_some();
                has(self.before) || has(self.after)
            });
            match same_profile {
                true => self.more(Some(who), own.unwrap_or_else(|| config.dotted(key)), was, is),
                // Another profile: the app's own line makes the difference, and the bound is told beside it.
                false if is > was => {
                    let at = at.key("runtime").key(if was_in == is_in { "template" } else { "provider" });
                    self.say(Some(who), at, format!("{key} `{was}`"), format!("{key} `{is}`"));
                }
                false => {}
            }
        }
        let isolation = |runtime: &WasmRuntime, template: &Option<String>| match runtime
            .limits_for(template.as_deref())
            .isolation
        {
            Isolation::Invocation => "invocation",
            Isolation::App => "app",
        };
        let path = profile.unwrap_or_else(|| config.clone()).key("isolation");
        self.word(Some(who), path, &["invocation", "app"], isolation(was, &old), isolation(is, &new));
        if was_in == is_in {
            for ((key, was), (_, is)) in of_runtime(&was.limits).into_iter().zip(of_runtime(&is.limits)) {
                self.more(Some(who), config.dotted(key), was, is);
            }
        }
    }
}

/// The wasm runtime of an app that is, or may be, a component.
fn runtime<'a>(deployment: &'a Deployment, app: &'a App) -> Option<(&'a str, &'a WasmRuntime)> {
    let name = app.placement.as_ref().map_or(deployment.component_runtime(), |placement| &placement.runtime);
    match deployment.runtimes.get(name).or_else(|| deployment.runtimes.get(WASM))? {
        Runtime::Wasm(wasm) => Some((name, wasm)),
        Runtime::Local | Runtime::Hosted(_) => None,
    }
}

fn count(number: impl TryInto<u64>) -> Amount {
    Amount::Count(number.try_into().unwrap_or(u64::MAX))
}

/// The bounds of one app, by key. More is wider.
fn of_app(limits: &Limits) -> Vec<(&'static str, Amount)> {
    let Limits {
        memory,
        memories,
        tables,
        table_elements,
        instances,
        timeout,
        cpu_time,
        startup_timeout,
        concurrency,
        queue,
        queue_timeout,
        handles,
        hostcall_bytes,
        field_bytes,
        random_bytes,
        standby,
        isolation: _,
        result,
        result_depth,
        log_per_call,
        log_per_minute,
        breaker,
        egress,
    } = limits;
    // How long the breaker looks back and stays open is a matter of taste; whether it opens at all is not.
    let BreakerLimits { traps, window: _, cooldown: _ } = breaker;
    let EgressLimits {
        connections,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        total_timeout,
        max_request_body,
        max_response_body,
        max_header_bytes,
        max_headers,
        requests_per_minute,
    } = egress;
    let (size, time) = (|size: &ByteSize| Amount::Size(*size), |time: &_| Amount::Time(Time(*time)));
    vec![
        ("memory", size(memory)),
        ("memories", count(*memories)),
        ("tables", count(*tables)),
        ("tableElements", count(*table_elements)),
        ("instances", count(*instances)),
        ("timeout", time(timeout)),
        ("cpuTime", time(cpu_time)),
        ("startupTimeout", time(startup_timeout)),
        ("concurrency", count(*concurrency)),
        ("queue", count(*queue)),
        ("queueTimeout", time(queue_timeout)),
        ("handles", count(*handles)),
        ("hostcallBytes", size(hostcall_bytes)),
        ("fieldBytes", size(field_bytes)),
        ("randomBytes", size(random_bytes)),
        ("standby", count(*standby)),
        ("result", size(result)),
        ("resultDepth", count(*result_depth)),
        ("logs.perCall", size(log_per_call)),
        ("logs.perMinute", size(log_per_minute)),
        ("breaker.traps", if *traps == 0 { Amount::Never } else { count(*traps) }),
        ("egress.connections", count(*connections)),
        ("egress.connectTimeout", time(connect_timeout)),
        ("egress.firstByteTimeout", time(first_byte_timeout)),
        ("egress.idleTimeout", time(idle_timeout)),
        ("egress.totalTimeout", time(total_timeout)),
        ("egress.maxRequestBody", size(max_request_body)),
        ("egress.maxResponseBody", size(max_response_body)),
        ("egress.maxHeaderBytes", size(max_header_bytes)),
        ("egress.maxHeaders", count(*max_headers)),
        ("egress.requestsPerMinute", count(*requests_per_minute)),
    ]
}

/// The bounds that the apps of a runtime share, by key. More is wider.
fn of_runtime(limits: &RuntimeLimits) -> Vec<(&'static str, Amount)> {
    let RuntimeLimits {
        max_component_size,
        compile,
        pool,
        stack,
        backtrace_frames: _,
        epoch_interval,
        max_concurrency,
        max_timeout,
    } = limits;
    let CompileLimits { timeout, memory, workers } = compile;
    // What else there is of the pool says how much is reserved and how it is cleared, and bounds no app by itself.
    let PoolLimits {
        instances,
        memory: pool_memory,
        memories: _,
        tables: _,
        table_elements: _,
        stacks: _,
        warm_slots: _,
        share,
        keep_memory: _,
        keep_table: _,
    } = pool;
    vec![
        ("maxComponentSize", Amount::Size(*max_component_size)),
        ("compile.timeout", Amount::Time(Time(*timeout))),
        ("compile.memory", Amount::Size(*memory)),
        ("compile.workers", count(*workers)),
        ("pool.instances", count(*instances)),
        ("pool.memory", Amount::Size(*pool_memory)),
        ("pool.share", count(*share)),
        ("stack", Amount::Size(*stack)),
        ("epochInterval", Amount::Time(Time(*epoch_interval))),
        ("maxConcurrency", count(*max_concurrency)),
        ("maxTimeout", Amount::Time(Time(*max_timeout))),
    ]
}
