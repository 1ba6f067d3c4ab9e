use gestalt_tests::examples::{self, app, manifest, package, python_with};
use gestalt_tests::{TestHost, Upstream};
use tempfile::TempDir;
use tokio::process::Child;

/// One way to run an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    WasmRust,
    WasmPython,
    WasmTypescript,
    NativePythonA22,
    NativePythonA29,
    NativeRustAlpha16,
    NativeRustAlpha26,
    Declarative,
}

/// A daemon with the column's example as the app `echo`, and what the example needs.
pub(super) struct Cell {
    pub(super) host: TestHost,
    /// What apps may reach as `upstream.test`.
    pub(super) upstream: Upstream,
    _service: Option<Child>,
    _packages: TempDir,
}

impl Column {
    /// Starts a daemon with `echo`, and the helpers named: `target` is the echo component, `listed` and `barred` a
    /// manifest that calls `upstream.test`, with and without leave, any other the example of its name.
    pub(super) async fn start(self, helpers: &[&str]) -> Cell {
        let (upstream, packages) = (Upstream::start().await, tempfile::tempdir().unwrap());
        let (mut service, mut ports) = (None, vec![upstream.port()]);
        let echo = match self {
            Self::WasmRust => manifest("echo"),
            Self::WasmPython => manifest("echo-python"),
            Self::WasmTypescript => manifest("echo-typescript"),
            Self::NativePythonA22 => python_with("a22"),
            Self::NativePythonA29 => python_with("a29"),
            Self::NativeRustAlpha16 => manifest("echo-native-rust-alpha16"),
            Self::NativeRustAlpha26 => manifest("echo-native-rust"),
            Self::Declarative => {
                let (child, port) = examples::service().await;
                ports.push(port);
                service = Some(child);
                examples::declarative_for(&packages.path().join("echo"), &format!("http://upstream.test:{port}"))
            }
        };
        // Native columns run in the sandbox, or not at all.
        let leave = "egress: {allowedHosts: [upstream.test], sandbox: required}";
        let (below, above) = ("{app: target, operation: echo}, {app: caller, operation: descend.0}", ["echo", "fail"]);
        let grants =
            if helpers == ["target", "caller"] { format!("invokes: [{below}], {leave}") } else { leave.to_owned() };
        let networks: Vec<String> = ports.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let mut config = format!("server: {{egress: {{allowedNetworks: [{}]}}}}\napps:\n", networks.join(", "));
        config += &app("echo", &echo, &grants);
        for helper in helpers {
            let rest = || package(&packages.path().join(helper), &rest(upstream.port()), &[]);
            config += &match *helper {
                "target" => app("target", &manifest("echo"), ""),
                "listed" => app("listed", &rest(), leave),
                "barred" => app("barred", &rest(), "egress: {allowedHosts: [other.test]}"),
                "caller" => {
                    let grants = above.map(|operation| format!("{{app: echo, operation: {operation}}}")).join(", ");
                    app("caller", &manifest("caller"), &format!("invokes: [{grants}]"))
                }
                example => app(example, &manifest(example), leave),
            };
        }
        let host = TestHost::start(&config).await;
        host.names().set("upstream.test", &["127.0.0.1"]);
        Cell { host, upstream, _service: service, _packages: packages }
    }
}

fn rest(port: u16) -> String {
    let operation = "{name: get, method: GET, path: /somewhere}";
    format!("spec: {{surfaces: {{rest: {{baseUrl: 'http://upstream.test:{port}', operations: [{operation}]}}}}}}\n")
}
