//! The whole of `gestaltd.config/v6`.

use super::app::{self, Around, Runtimes, trimmed};
use super::{Report, egress, wasm};
use crate::deployment::{App, Management, Runtime, Server, WASM};
use crate::env::Mode;
use crate::path::KeyPath;
use crate::raw::config::{RawConfig, RawDriver, RawManagement, RawRuntime, RawServer};
use crate::raw::wasm::RawWasm;
use crate::shape::{did_you_mean, nearest};
use gestalt_core::{AppName, Secret};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Checks `raw`. `wasm` has the typed configuration of each wasm runtime; `home` is the leftmost file's directory.
pub(crate) fn deployment(
    report: &mut Report<'_>,
    raw: RawConfig,
    wasm: BTreeMap<String, RawWasm>,
    mode: Mode,
    home: &Path,
) -> (Server, BTreeMap<String, Runtime>, BTreeMap<AppName, App>) {
    let top = KeyPath::default();
    let mut server_raw = raw.server.unwrap_or_default();
    let named = trimmed(server_raw.runtime.take().and_then(|r| r.default_provider));
    let (runtimes, marked) = runtimes(report, raw.runtime.and_then(|r| r.providers).unwrap_or_default(), wasm);
    if let Some(name) = named.as_deref().filter(|name| !runtimes.contains_key(*name)) {
        let hint = nearest(name, runtimes.keys().map(String::as_str)).map(did_you_mean);
        let at = top.dotted("server.runtime.defaultProvider");
        report.hinted(&at, "`runtime.providers` has no such entry", hint);
    }
    let default_runtime = named.or(marked);
    let server = server(report, &top.key("server"), server_raw, default_runtime, mode, home);
    let known = Runtimes { all: &runtimes, default: server.default_runtime.as_deref() };
    let around = Around { runtimes: known, egress: &server.egress, mode };
    let apps = apps(report, &top.key("apps"), raw.apps.unwrap_or_default(), &around);
    (server, runtimes, apps)
}

fn apps(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<crate::raw::config::RawApp>>,
    around: &Around<'_>,
) -> BTreeMap<AppName, App> {
    let checked = raw.into_iter().filter_map(|(key, raw)| app::app(report, &at.key(&key), &key, raw, around));
    checked.map(|app| (app.name.clone(), app)).collect()
}

fn server(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawServer,
    default_runtime: Option<String>,
    mode: Mode,
    home: &Path,
) -> Server {
    let public = raw.public.unwrap_or_default();
    let public = address(report, &at.key("public"), public.host.as_deref(), Some(public.port.unwrap_or(8080)));
    let management = raw.management.and_then(|raw| management(report, &at.key("management"), raw, public));
    let encryption_key = trimmed(raw.encryption_key).unwrap_or_default();
    if encryption_key.is_empty() && mode == Mode::Strict {
        let hint =
            "write `encryptionKey: ${GESTALT_ENCRYPTION_KEY}` under `server`, and set that variable to 64 hex digits";
        report.hinted(&at.key("encryptionKey"), "is required", Some(hint.to_owned()));
    }
    Server {
        public,
        management,
        base_url: report.base_url(&at.key("baseUrl"), trimmed(raw.base_url).as_deref()),
        encryption_key: Secret::new(encryption_key),
        artifacts_dir: trimmed(raw.artifacts_dir).map_or_else(|| home.to_owned(), PathBuf::from),
        egress: egress::server(report, &at.key("egress"), raw.egress.unwrap_or_default()),
        default_runtime,
    }
}

fn management(report: &mut Report<'_>, at: &KeyPath, raw: RawManagement, public: SocketAddr) -> Option<Management> {
    let base_url = report.base_url(&at.key("baseUrl"), trimmed(raw.base_url).as_deref());
    if raw.port.is_none() {
        if raw.host.is_some() {
            report.problem(&at.key("port"), "is required when `host` is set");
        } else if base_url.is_some() {
            report.problem(&at.key("port"), "is required when `baseUrl` is set");
        }
        return None;
    }
    let address = address(report, at, raw.host.as_deref(), raw.port);
    let meet = address.ip() == public.ip() || address.ip().is_unspecified() || public.ip().is_unspecified();
    if address.port() == public.port() && address.port() > 0 && meet {
        report.problem(&at.key("port"), format!("is the public listener's own address ({public})"));
    }
    Some(Management { address, base_url })
}

/// `host` and `port` as one address. Names other than `localhost` are not looked up: nothing here asks the network.
fn address(report: &mut Report<'_>, at: &KeyPath, host: Option<&str>, port: Option<i64>) -> SocketAddr {
    let ip = match host.map(str::trim) {
        None | Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.trim_matches(['[', ']']).parse().unwrap_or_else(|_| {
            let hint = "write `0.0.0.0`, `127.0.0.1`, `::1` or another address of this machine".to_owned();
            report.hinted(&at.key("host"), "is neither an IP address nor `localhost`", Some(hint));
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        }),
    };
    SocketAddr::new(ip, report.count(&at.key("port"), port, 1..=65_535, 0))
}

/// The runtimes, and the one marked as default.
fn runtimes(
    report: &mut Report<'_>,
    raw: BTreeMap<String, Option<RawRuntime>>,
    mut wasm: BTreeMap<String, RawWasm>,
) -> (BTreeMap<String, Runtime>, Option<String>) {
    let at = KeyPath::default().dotted("runtime.providers");
    let (mut runtimes, mut default): (_, Option<String>) = (BTreeMap::new(), None);
    for (name, raw) in raw {
        let at = at.key(&name);
        let Some(raw) = raw else {
            report.problem(&at, "the entry is empty; a runtime needs a `driver`");
            continue;
        };
        if raw.default == Some(true) {
            match &default {
                Some(first) => report.problem(&at.key("default"), format!("runtime `{first}` is the default already")),
                None => default = Some(name.clone()),
            }
        }
        let runtime = match raw.driver {
            Some(RawDriver::Wasm) => {
                let config = wasm.remove(&name).unwrap_or_default();
                Runtime::Wasm(Box::new(wasm::runtime(report, &at.key("config"), config)))
            }
            Some(RawDriver::Local) => {
                if raw.config.is_some_and(|config| !config.is_empty()) {
                    report.problem(&at.key("config"), "`driver: local` has nothing to configure");
                }
                Runtime::Local
            }
            None => {
                if !report.is_troubled(&at) {
                    report.problem(&at.key("driver"), "is required: `local` or `wasm`");
                }
                Runtime::Local
            }
        };
        if name == WASM && raw.driver == Some(RawDriver::Local) {
            report.problem(&at.key("driver"), "the name `wasm` is the built-in wasm runtime's; choose another name");
        }
        runtimes.insert(name, runtime);
    }
    if !matches!(runtimes.get(WASM), Some(Runtime::Wasm(_))) {
        runtimes.insert(WASM.to_owned(), Runtime::Wasm(Box::default()));
    }
    (runtimes, default)
}
