//! What lies around a package, or in it and is not its own; what it leaves; and how it ends.

use super::kit::{SECRET, Street, WHOLE, assert_untold, reason, settled, stop};
use crate::house::RUNTIME;
use crate::row::Site;
use gestalt_tests::{Served, eventually};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// As long as anything may take that has nothing to wait for. An app has longer to write its catalog.
const PATIENCE: Duration = Duration::from_secs(40);

/// Files of a package that are pipes, and a package that is a link: nobody waits, and it is the same package.
pub(super) fn n45(_: &Site) {
    let mut street = Street::new();
    for (name, manifest, pipe) in [
        ("catalog", "run: {command: [sh, -c, 'exit 3']}\n", "catalog.yaml"),
        ("icon", "run: {command: [sh, -c, 'exit 3']}\niconFile: icon.svg\n", "icon.svg"),
        ("project", "", "pyproject.toml"),
        ("artifact", "entrypoint: {artifactPath: app}\n", "app"),
        ("program", "run: {command: [./app]}\n", "app"),
        ("script", "run: {command: [sh, ./app]}\n", "app"),
        ("build", "build: {command: [sh, ./app]}\nentrypoint: {artifactPath: made}\n", "app"),
    ] {
        street.package(name, manifest, WHOLE);
        street.pipe(&format!("{name}/{pipe}"));
    }
    let socket = street.at("linked/socket");
    street.script("linked", "cat own ../spelled/own; cat ../home/secret", "", WHOLE);
    let _listener = UnixListener::bind(socket).unwrap();
    street.pipe("linked/pipe");
    street.file("linked/own", "its-own\n");
    street.link(street.at("linked"), "spelled");
    street.entry("spelled", &street.at("spelled/manifest.yaml"), WHOLE);
    let served = street.start("");
    // `script` waits for its pipe, in its cell, until its time for a catalog is over.
    let done = ["linked", "catalog", "icon", "project", "artifact", "program", "spelled"];
    let failed = |name: &&str| {
        let log = served.log();
        log.lines().any(|line| line.contains("app failed to start") && line.contains(&format!("app={name} ")))
    };
    let start = std::time::Instant::now();
    RUNTIME.block_on(eventually("all but those that wait", || async {
        let waiting: Vec<_> = done.iter().filter(|name| !failed(name)).collect();
        assert!(start.elapsed() < PATIENCE, "{waiting:?}: {}", served.log());
        waiting.is_empty().then_some(())
    }));
    let spelled = reason(&served, "spelled");
    assert_eq!(spelled.matches("its-own").count(), 2, "{spelled}");
    for name in ["catalog", "icon"] {
        assert!(reason(&served, name).contains("is n"), "{}", reason(&served, name));
    }
    assert_untold(&served);
    stop(served);
}

/// A package in another one's directory is not that one's, by whatever name that is seen.
pub(super) fn n46(_: &Site) {
    let mut street = Street::new();
    let script = "ls inner ../spelled/inner; cat inner/secret ../spelled/inner/secret ../outer/inner/secret; echo done";
    street.script("outer", script, "", WHOLE);
    street.link(street.at("outer"), "spelled");
    street.entry("by-link", &street.at("spelled/manifest.yaml"), WHOLE);
    // What is built is copied first: without what is not its own.
    let build = "run: {command: [sh]}\nbuild: {command: [sh, ./serve.sh]}\n";
    let built = street.manifest("built", build);
    street.file("built/serve.sh", &format!("{script}\nexit 3\n"));
    street.link(street.at("built"), "spelled-built");
    street.entry("built", &built, WHOLE);
    street.entry("built-by-link", &street.at("spelled-built/manifest.yaml"), WHOLE);
    for outer in ["outer", "built"] {
        let inner = street.manifest(&format!("{outer}/inner"), "run: {command: [sh, -c, 'tr 2 3 < secret; exit 3']}\n");
        street.file(&format!("{outer}/inner/secret"), SECRET);
        street.entry(&format!("in-{outer}"), &inner, WHOLE);
    }
    let served = street.serve("");
    for name in ["outer", "by-link", "built", "built-by-link"] {
        assert!(reason(&served, name).contains("done"), "{}", reason(&served, name));
    }
    for name in ["in-outer", "in-built"] {
        assert!(reason(&served, name).contains("hunter3"), "{}", reason(&served, name));
    }
    assert_untold(&served);
    stop(served);
}

/// What is the daemon's own, in the directory of a package.
pub(super) fn n47(_: &Site) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = dir.path().canonicalize().unwrap();
    let around = Street::new();
    let mut street = Street::new();
    symlink(&root, around.at("spelled")).unwrap();
    std::fs::create_dir(root.join("secrets")).unwrap();
    std::fs::write(root.join("secrets/x"), SECRET).unwrap();
    let files = "base.yaml config.yaml secrets/x artifacts/cache/wasm";
    let script = format!(
        "for d in . {} {}; do for f in {files}; do cat $d/$f; ls $d/$f/; done; done 2>/dev/null | sed s/^/seen=/; echo done; exit 3\n",
        root.display(),
        around.at("spelled").display()
    );
    std::fs::write(root.join("serve.sh"), script).unwrap();
    let head = "kind: app\nsource: github.com/gestaltd/tests/package\nversion: 0.1.0\nspec: {}\n";
    for (name, phases) in [
        ("run.yaml", "run: {command: [sh, ./serve.sh]}\n"),
        ("build.yaml", "run: {command: [sh]}\nbuild: {command: [sh, ./serve.sh]}\n"),
    ] {
        std::fs::write(root.join(name), format!("{head}{phases}")).unwrap();
        let kind = name.trim_end_matches(".yaml");
        street.entry(kind, &root.join(name), WHOLE);
        street.entry(&format!("{kind}-by-link"), &around.at("spelled").join(name), WHOLE);
    }
    let config = street.configuration("");
    let secrets =
        format!("providers: {{secrets: {{local: {{source: file, config: {{dir: {:?}}}}}}}}}\n", root.join("secrets"));
    let served = RUNTIME.block_on(async { Served::start_in(dir, &format!("{config}{secrets}")) });
    settled(&served);
    for name in ["run", "run-by-link", "build", "build-by-link"] {
        let reason = reason(&served, name);
        assert!(reason.contains("done") && !reason.contains("seen="), "{name}: {reason}");
    }
    assert_untold(&served);
    stop(served);
}

/// What is left where a catalog should be, by an app that is confined and by one that is not.
pub(super) fn n48(_: &Site) {
    let mut street = Street::new();
    let secret = street.at("home/secret").display().to_string();
    let variants = [
        ("link", format!("ln -s {secret} $F")),
        ("environ", "ln -s /proc/1/environ $F".to_owned()),
        ("pipe", "mkfifo $F".to_owned()),
        ("socket", "python3 -c \"import os, socket; socket.socket(socket.AF_UNIX).bind(os.environ['F'])\"".to_owned()),
        ("directory", "mkdir $F".to_owned()),
        ("large", "head -c 17825792 /dev/zero > $F".to_owned()),
        ("binary", "head -c 100 /dev/urandom > $F".to_owned()),
        ("nothing", "true".to_owned()),
        ("endless", "while :; do echo x; done > $F".to_owned()),
        ("silent", "while :; do sleep 1000; done".to_owned()),
    ];
    for (name, script) in &variants {
        for (suffix, entry) in [("", WHOLE), ("-free", "egress: {sandbox: 'off', allowedHosts: [allowed.test]}")] {
            if suffix == "-free" && *name == "endless" {
                // There is nobody who would keep it from filling the disk.
                continue;
            }
            let run = "run: {command: [sh, ./serve.sh]}\n";
            let (name, script) =
                (format!("{name}{suffix}"), format!("F=$GESTALT_APP_WRITE_CATALOG; export F\n{script}\n"));
            street.package(&name, run, entry);
            street.file(&format!("{name}/serve.sh"), &script);
        }
    }
    let served = street.start("");
    let failed = |name: &str| {
        let log = served.log();
        log.lines().any(|line| line.contains("app failed to start") && line.contains(&format!("app={name} ")))
    };
    let ended = ["link", "environ", "pipe", "socket", "directory", "large", "binary", "nothing"];
    let ended: Vec<_> = ended.iter().flat_map(|name| [(*name).to_owned(), format!("{name}-free")]).collect();
    let start = std::time::Instant::now();
    RUNTIME.block_on(eventually("all but those that go on", || async {
        let waiting: Vec<_> = ended.iter().filter(|name| !failed(name)).collect();
        assert!(start.elapsed() < PATIENCE, "{waiting:?}: {}", served.log());
        waiting.is_empty().then_some(())
    }));
    for name in &ended {
        assert!(reason(&served, name).contains("catalog.yaml"), "{}", reason(&served, name));
    }
    assert_untold(&served);
    // While two are still being asked.
    let exit = stop(served);
    assert!(!exit.log.contains("app=silent reason"), "{}", exit.log);
}

/// A process that ignores all signals it can, with another one that has left its family.
pub(super) fn n49(_: &Site) {
    let mut street = Street::new();
    let script = "trap '' INT TERM HUP QUIT\n\
        (setsid sh -c \"trap '' INT TERM HUP QUIT; while :; do sleep 1000; done\" &)\n\
        (setsid sh -c '(sleep 1000 &)' &)\necho stubborn\nwhile :; do sleep 1000; done\n";
    for (name, entry) in [("confined", WHOLE), ("free", "egress: {sandbox: 'off', allowedHosts: [allowed.test]}")] {
        street.package(name, "run: {command: [sh, ./serve.sh]}\n", entry);
        street.file(&format!("{name}/catalog.yaml"), "name: x\noperations:\n  - {id: x, method: POST}\n");
        street.file(&format!("{name}/serve.sh"), script);
    }
    let served = street.start("");
    RUNTIME.block_on(eventually("both", || async {
        let log = served.log();
        assert!(!log.contains("app failed to start"), "{log}");
        (log.matches("stubborn").count() >= 2).then_some(())
    }));
    assert!(served.children().len() >= 6, "{:?}", served.children());
    stop(served);
}

/// What an operator shows an app besides its package.
pub(super) fn n50(_: &Site) {
    let mut street = Street::new();
    let script =
        "cat ../shown/x ../named/x; (echo y > ../shown/x) 2>/dev/null && echo wrote; cat ../home/secret; echo done";
    let root = street.at("");
    let shown = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|path| format!("{:?}", root.join(path))).collect();
        format!("egress: {{allowedHosts: [allowed.test], sandbox: required, sandboxPaths: [{}]}}", paths.join(", "))
    };
    let (both, proc, socket, pipe, gone) =
        (shown(&["shown", "named"]), shown(&["to-proc"]), shown(&["socket"]), shown(&["pipe"]), shown(&["gone"]));
    street.file("shown/x", "what-is-shown\n");
    street.link(street.at("shown"), "named");
    street.link("/proc", "to-proc");
    street.pipe("pipe");
    let listener = UnixListener::bind(street.at("socket")).unwrap();
    listener.set_nonblocking(true).unwrap();
    street.script("both", script, "", &both);
    for (name, entry) in [("proc", &proc), ("socket", &socket), ("pipe", &pipe), ("gone", &gone)] {
        street.script(&format!("asks-{name}"), script, "", entry);
    }
    let served = street.serve("");
    let told = reason(&served, "both");
    assert_eq!(told.matches("what-is-shown").count(), 2, "{told}");
    assert!(told.contains("done") && !told.contains("wrote"), "{told}");
    assert_eq!(std::fs::read_to_string(street.at("shown/x")).unwrap(), "what-is-shown\n");
    for (name, why) in [
        ("proc", "leads to what is never shown"),
        ("socket", "is neither a regular file nor a directory"),
        ("pipe", "is neither a regular file nor a directory"),
        ("gone", "is not there"),
    ] {
        let reason = reason(&served, &format!("asks-{name}"));
        let at = reason.split_once("config.yaml:").and_then(|(_, rest)| rest.chars().next());
        assert!(reason.contains(why) && reason.contains("egress.sandboxPaths"), "{name}: {reason}");
        assert!(at.is_some_and(|c| c.is_ascii_digit()), "{name}: {reason}");
    }
    assert_untold(&served);
    assert!(listener.accept().is_err(), "somebody came");
    stop(served);
}
