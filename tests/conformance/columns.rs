use gestalt_tests::examples::{app, manifest, package, python_with};
use gestalt_tests::{TestHost, Upstream};
use tempfile::TempDir;

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
    /// What `echo` of the declarative column calls, and what apps may fetch as `upstream.test`.
    pub(super) upstream: Upstream,
    _packages: TempDir,
}

impl Column {
    /// Starts a daemon with `echo`, and the helpers named: `target` is the echo component, `barred` this column's
    /// example with a list that does not name what it calls, any other the example of its name.
    pub(super) async fn start(self, helpers: &[&str]) -> Cell {
        let (upstream, packages) = (Upstream::start().await, tempfile::tempdir().unwrap());
        let local = "egress: {allowedHosts: [upstream.test]}";
        let manifest_file = match self {
            Self::WasmRust => manifest("echo"),
            Self::WasmPython => manifest("echo-python"),
            Self::WasmTypescript => manifest("echo-typescript"),
            Self::NativePythonA22 => python_with(".venv-a22"),
            Self::NativePythonA29 => python_with(".venv"),
            Self::NativeRustAlpha16 => manifest("echo-native-rust-alpha16"),
            Self::NativeRustAlpha26 => manifest("echo-native-rust"),
            Self::Declarative => package(packages.path(), &rest(upstream.port()), &[]),
        };
        let mut config = format!(
            "server:\n  egress: {{allowedNetworks: ['127.0.0.1:{port}']}}\napps:\n{echo}",
            port = upstream.port(),
            echo = app("echo", &manifest_file, local)
        );
        for helper in helpers {
            config += &match *helper {
                "target" => app("target", &manifest("echo"), local),
                "barred" => app("barred", &manifest_file, "egress: {allowedHosts: [other.test]}"),
                example => app(example, &manifest(example), local),
            };
        }
        let host = TestHost::start(&config).await;
        host.names().set("upstream.test", &["127.0.0.1"]);
        Cell { host, upstream, _packages: packages }
    }

    /// Whether integers beyond 2^53 reach the app: the native protocol carries doubles.
    pub(super) fn is_native(self) -> bool {
        !matches!(self, Self::WasmRust | Self::WasmPython | Self::WasmTypescript | Self::Declarative)
    }

    /// The app that has the operation `call`: the component in Rust leaves it to another example.
    pub(super) fn calling_app(self) -> &'static str {
        if self == Self::WasmRust { "caller" } else { "echo" }
    }
}

/// The echo operations as far as a manifest alone can offer them.
fn rest(port: u16) -> String {
    format!(
        "spec:
  surfaces:
    rest:
      baseUrl: http://upstream.test:{port}
      operations:
        - {{name: echo, method: POST, path: /echo}}
        - {{name: respond, method: POST, path: '/status/{{status}}'}}
        - {{name: slow, method: POST, path: /hold}}
        - {{name: get, method: GET, path: /somewhere}}
"
    )
}
