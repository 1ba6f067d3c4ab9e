//! What a package tries while it is built, and what it leaves for whoever looks at it afterwards.

use super::kit::{RAN, SECRET, Street, WHOLE, assert_untold, reason, settled, start, stop};
use crate::canary;
use crate::house::{corpus, records};
use crate::names;
use crate::row::Site;
use gestalt_tests::Served;
use std::path::{Path, PathBuf};

/// The copies of all builds there are.
fn copies(served: &Served) -> Vec<PathBuf> {
    let found = std::fs::read_dir(served.dir().join("artifacts/builds")).into_iter().flatten().flatten();
    let mut copies: Vec<_> = found.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    copies.sort();
    copies
}

/// A package whose build is this script, and which says `started` when it starts.
fn built(street: &mut Street, name: &str, script: &str, entry: &str) {
    let phases = "build: {command: [sh, ./build.sh]}\nrun: {command: [sh, -c, 'echo started; cat made; exit 3']}\n";
    street.package(name, phases, entry);
    street.file(&format!("{name}/build.sh"), &format!("{script}\n"));
}

/// What a build sees and reaches, of a native package and of a component.
pub(super) fn n60(_: &Site) {
    let mut street = Street::new();
    let home = street.at("home").display().to_string();
    // Names of variables only: nobody knows what is in them.
    let script = format!(
        "env | cut -d= -f1 | tr '\\n' ' '; echo; cat /proc/[0-9]*/environ /proc/*/task/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c NO_COLOR; \
         cat {home}/secret /proc/1/root{home}/secret; cat /tmp/.tmp*/base.yaml /var/tmp/*/*; \
         for d in / /etc /usr /usr/bin /home /root /proc/sys/vm /var/tmp {home}; do touch $d/x 2>/dev/null && echo wrote=$d.; done; \
         python3 -c 'import socket\ntry: socket.create_connection((\"93.184.216.34\", 80), 3); print(\"connected\")\nexcept OSError as e: print(\"no-way\", e.errno)'; \
         for h in allowed.test evil.test; do python3 -c \"import urllib.request as u; print('came', u.urlopen('http://$h/ok').status)\" 2>&1 | tail -1; done; \
         echo done; exit 3"
    );
    built(&mut street, "native", &script, WHOLE);
    street.file("component/build.sh", &script);
    street.package(
        "component",
        "build: {command: [sh, ./build.sh]}\nentrypoint: {artifactPath: app.wasm}\n",
        "egress: {allowedHosts: [allowed.test]}",
    );
    let served = street.serve(", packages: {build: confined}");
    for name in ["native", "component"] {
        let reason = reason(&served, name);
        assert!(reason.contains("done") && reason.contains("no-way"), "{name}: {reason}");
        for word in ["connected", "wrote=", "NO_COLOR", "GESTALT_ENCRYPTION"] {
            assert!(!reason.contains(word), "{name}: {word}: {reason}");
        }
        assert!(reason.contains("came 200") && reason.contains("403"), "{name}: {reason}");
        let told: Vec<_> = records(&served.log(), name)
            .iter()
            .map(|record| (record.field("host").to_owned(), record.field("operation").to_owned()))
            .collect();
        assert!(told.contains(&("evil.test".to_owned(), "egress.denied".to_owned())), "{name}: {told:?}");
        assert!(told.contains(&("allowed.test".to_owned(), "egress.allowed".to_owned())), "{name}: {told:?}");
    }
    names::take_asked();
    let came = canary::take(2);
    assert!(came.iter().all(|arrival| arrival.header("host") == ["allowed.test"]), "{came:?}");
    assert_untold(&served);
    stop(served);
}

/// What a build leaves in the place of what the daemon opens afterwards: links, pipes, and what forks and stays.
pub(super) fn n61(_: &Site) {
    let mut street = Street::new();
    let secret = street.at("home/secret").display().to_string();
    let wasm = street.at("home/app.wasm");
    std::fs::copy(corpus(), &wasm).unwrap();
    for (name, make) in [
        ("link", format!("ln -s {secret} app")),
        ("component", format!("ln -s {} app", wasm.display())),
        ("up", "ln -s ../../../../../../../../usr/bin/env app".to_owned()),
        ("magic", "ln -s /proc/self/exe app".to_owned()),
        ("pipe", "mkfifo app".to_owned()),
        ("directory", "mkdir app".to_owned()),
        ("nothing", "true".to_owned()),
    ] {
        street.package(name, "build: {command: [sh, ./build.sh]}\nentrypoint: {artifactPath: app}\n", WHOLE);
        street.file(&format!("{name}/build.sh"), &format!("{make}\n"));
    }
    for (name, make) in [
        ("project-link", format!("ln -s {secret} pyproject.toml")),
        ("project-pipe", "mkfifo pyproject.toml".to_owned()),
    ] {
        street.package(name, "build: {command: [sh, ./build.sh]}\n", WHOLE);
        street.file(&format!("{name}/build.sh"), &format!("{make}\n"));
    }
    // What stays behind could replace what was looked at.
    let stays =
        "(setsid sh -c \"trap '' TERM INT HUP; while :; do sleep 1000; done\" >/dev/null 2>&1 &)\necho fine > made";
    built(&mut street, "stays", stays, WHOLE);
    let served = street.serve("");
    for (name, why) in [
        ("link", "the build did not make the entrypoint"),
        ("component", "a link leads out of the directory"),
        ("up", "a link leads out of the directory"),
        ("magic", "a link leads out of the directory"),
        ("pipe", "the build did not make the entrypoint"),
        ("directory", "the build did not make the entrypoint"),
        ("nothing", "the build did not make the entrypoint"),
        ("project-link", "leads out"),
        ("project-pipe", "not a regular file"),
        ("stays", "started"),
    ] {
        let reason = reason(&served, name);
        assert!(reason.contains(why) || name == "link" && reason.contains("leads out"), "{name}: {reason}");
    }
    assert!(reason(&served, "stays").contains("fine"), "{}", reason(&served, "stays"));
    assert_eq!(served.children(), Vec::<i32>::new(), "what a build has started outlives it");
    assert_untold(&served);
    stop(served);
}

/// A crate with nothing around it.
fn krate(street: &mut Street, name: &str, phases: &str, files: &[(&str, &str)]) {
    street.package(name, phases, WHOLE);
    street.file(
        &format!("{name}/Cargo.toml"),
        &format!("[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n"),
    );
    // The usual linker may be a link by way of `/etc`, which is another one here.
    street.file(&format!("{name}/.cargo/config.toml"), "[target.'cfg(unix)']\nlinker = \"gcc\"\n");
    for (file, text) in files {
        street.file(&format!("{name}/{file}"), text);
    }
}

/// Cargo packages: one that is well, and some whose build says or leaves what is not so.
pub(super) fn n62(_: &Site) {
    const MAIN: &str = "fn main() { println!(\"started\"); std::process::exit(3); }\n";
    const LIBRARY: &str = "pub fn __gestalt_serve(_: &str) -> Result<(), String> { Err(\"served\".into()) }\n\
        pub fn __gestalt_write_catalog(_: &str, _: &str) -> Result<(), String> { Err(\"asked\".into()) }\n";
    let mut street = Street::new();
    let secret = street.at("home/secret").display().to_string();
    // What a build script says on its cargo's own output is read as cargo's.
    let lie = |path: &str| {
        format!(
            "fn main() {{\n    let mut at = std::process::id();\n    for _ in 0..4 {{\n        \
             let stat = std::fs::read_to_string(format!(\"/proc/{{at}}/stat\")).unwrap();\n        \
             at = stat.rsplit_once(\") \").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();\n        \
             let line = r#\"{{\"reason\":\"compiler-artifact\",\"target\":{{\"name\":\"NAME\"}},\"executable\":\"{path}\"}}\"#;\n        \
             if let Ok(mut out) = std::fs::OpenOptions::new().append(true).open(format!(\"/proc/{{at}}/fd/1\")) {{\n            \
             use std::io::Write;\n            let _ = writeln!(out, \"{{line}}\");\n        }}\n    }}\n    panic_free();\n}}\nfn panic_free() {{}}\n"
        )
    };
    krate(&mut street, "well", "", &[("src/main.rs", MAIN)]);
    krate(&mut street, "library", "", &[("src/lib.rs", LIBRARY)]);
    for (name, path) in [("liar", secret.as_str()), ("dotted", "PACKAGE/../../complete"), ("proc", "/proc/1/environ")] {
        let text = lie(path).replace("NAME", name);
        krate(&mut street, name, "", &[("src/main.rs", MAIN), ("build.rs", &text)]);
    }
    // The crate around a library is written by the daemon.
    let target = street.file("home/target", "untouched\n");
    for (name, script) in [
        ("lock", format!("ln -sf {secret} Cargo.lock")),
        ("lock-pipe", "rm -f Cargo.lock; mkfifo Cargo.lock".to_owned()),
        (
            "wrapper",
            format!(
                "mkdir -p ../wrapper/src; ln -sf {0} ../wrapper/Cargo.toml; ln -sf {0} ../wrapper/src/main.rs; true",
                target.display()
            ),
        ),
    ] {
        krate(&mut street, name, "build: {command: [sh, ./build.sh]}\n", &[("src/lib.rs", LIBRARY)]);
        street.file(&format!("{name}/build.sh"), &format!("{script}\n"));
    }
    let served = street.serve("");
    for (name, why) in [
        ("well", "started"),
        ("library", "asked"),
        ("lock", "leads out"),
        ("lock-pipe", "not a regular file"),
        ("wrapper", "asked"),
    ] {
        assert!(reason(&served, name).contains(why), "{name}: {}", reason(&served, name));
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched\n");
    for copy in copies(&served) {
        for file in ["program", "wrapper/Cargo.lock"].map(|file| copy.join(file)) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            let has = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!has(SECRET) && !has("PATH="), "{} is somebody else's", file.display());
        }
    }
    assert_untold(&served);
    stop(served);
}

/// What is built is built once, in a copy that is named by what is in it, and the package stays as it is.
pub(super) fn n63(_: &Site) {
    let mut street = Street::new();
    // Everybody who builds says so where only builds write: in the cache of the package.
    let script =
        "echo built >> \"$CARGO_HOME-log\"; cat \"$CARGO_HOME-log\" | wc -l > made; date +%N >> made; touch left";
    built(&mut street, "one", script, WHOLE);
    street.entry("two", &street.at("one/manifest.yaml"), WHOLE);
    street.file("one/input", "1");
    let before = listing(&street.at("one"));
    let served = street.serve("");
    let made = |served: &Served| {
        copies(served)
            .iter()
            .map(|copy| std::fs::read_to_string(copy.join("package/made")).unwrap())
            .collect::<Vec<_>>()
    };
    let first = made(&served);
    assert_eq!(first.len(), 1, "two entries of one package are built once");
    for name in ["one", "two"] {
        let said = first[0].lines().last().unwrap();
        assert!(reason(&served, name).contains("started") && reason(&served, name).contains(said), "{name}");
    }
    let runs = |served: &Served| served.log().matches("phase=\"build\"").count();
    assert_eq!(runs(&served), 1, "{}", served.log());
    assert_eq!(listing(&street.at("one")), before, "the package has changed");
    // Another daemon on the same artifacts: nothing is built until something changes.
    let artifacts = served.dir().join("artifacts");
    let again = |street: &Street| {
        let config = format!("server: {{artifactsDir: {artifacts:?}, egress: {{defaultAction: deny}}}}\n");
        let again = start(&street.configuration("").replacen("server: {egress: {defaultAction: deny}}\n", &config, 1));
        settled(&again);
        again
    };
    let second = again(&street);
    assert_eq!((runs(&second), made(&served)), (0, first.clone()), "{}", second.log());
    assert!(reason(&second, "one").contains("started"));
    stop(second);
    street.file("one/input", "2");
    let third = again(&street);
    assert_eq!((runs(&third), made(&served).len()), (1, 2), "{}", third.log());
    // Nobody else looks into what builds leave.
    let caches = ["one", "two"].map(|name| artifacts.join("cache/apps").join(name).join("build"));
    let caches: Vec<_> = caches.into_iter().filter(|cache| cache.exists()).collect();
    assert!(!caches.is_empty(), "whichever entry was first has built");
    for dir in caches.into_iter().chain([artifacts.join("builds")]) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&dir.metadata().map(|meta| meta.permissions()).unwrap());
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", dir.display());
    }
    stop(third);
    stop(served);
}

/// Names, times and contents.
fn listing(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap_or_default()))
        .collect();
    all.sort();
    all
}

/// What the deployment says of builds.
pub(super) fn n64(_: &Site) {
    let mut street = Street::new();
    built(&mut street, "app", "echo fine > made; cat ../home/secret > /dev/null && echo seen >> made; true", WHOLE);
    for (build, why, seen) in
        [("deny", "server.packages.build", false), ("confined", "fine", false), ("allow", "fine", true)]
    {
        let served = street.serve(&format!(", packages: {{build: {build}}}"));
        let reason = reason(&served, "app");
        assert!(reason.contains(why), "{build}: {reason}");
        assert_eq!(street.at("app/made").exists(), build == "allow", "{build}");
        assert_eq!(copies(&served).len(), usize::from(build == "confined"), "{build}");
        let made = std::fs::read_to_string(street.at("app/made")).unwrap_or_default();
        assert_eq!(reason.contains("seen") || made.contains("seen"), seen, "{build}: {reason}");
        assert!(!served.log().contains(RAN), "{build}");
        stop(served);
    }
}
