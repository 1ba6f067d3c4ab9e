//! What a package tries by what it is made of: its environment, its links, `#!` lines, settings and paths.

use super::kit::{RAN, Street, WHOLE, assert_untold, reason, stop, variables};
use crate::row::Site;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// A library that leaves a mark outside, and says where it was loaded.
const LIBRARY: &str = r#"
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    FILE *mark = fopen(MARK, "a");
    if (mark) { fputs("x", mark); fclose(mark); }
    fprintf(stderr, "loaded-by=%d.\n", getpid());
}
unsigned la_version(unsigned version) { return version; }
"#;

/// Variables that make the loader run the package's code: it runs in the program, and in nothing that runs before.
pub(super) fn n40(_: &Site) {
    let mut street = Street::new();
    let (source, mark, library) = (street.file("x.c", LIBRARY), street.at("mark"), street.at("preload/x.so"));
    for name in ["preload", "audit", "entry", "build"] {
        let library = street.at(&format!("{name}/x.so"));
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        // `cc` may be a link by way of `/etc`, which is another one here.
        let built = ["gcc", "clang", "cc"].iter().find_map(|compiler| {
            let mut cc = Command::new(compiler);
            cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg(format!("-DMARK={mark:?}"));
            cc.status().ok()
        });
        assert!(built.unwrap().success());
    }
    // It does work where nothing confines it.
    assert!(Command::new("true").env("LD_PRELOAD", &library).status().unwrap().success());
    std::fs::remove_file(&mark).unwrap();
    let set = |name: &str, package: &str| variables(&[(name, street.at(package).join("x.so").to_str().unwrap())]);
    let (preload, audit, entry) = (set("LD_PRELOAD", "preload"), set("LD_AUDIT", "audit"), set("LD_PRELOAD", "entry"));
    // A build has its package at another place.
    let build = variables(&[("LD_PRELOAD", "./x.so")]);
    street.script("preload", "echo in the program", &format!(", {preload}"), WHOLE);
    street.script("audit", "echo in the program", &format!(", {audit}"), WHOLE);
    street.script("entry", "echo in the program", "", &format!("{WHOLE}, {entry}"));
    street.package(
        "build",
        &format!("run: {{command: [sh]}}\nbuild: {{command: [sh, -c, 'echo in the program; exit 3'], {build}}}\n"),
        WHOLE,
    );
    let served = street.serve("");
    for name in ["preload", "audit", "entry", "build"] {
        let reason = reason(&served, name);
        assert!(reason.contains("in the program"), "{reason}");
        let pids: Vec<u32> =
            reason.split("loaded-by=").skip(1).map(|rest| rest.split('.').next().unwrap().parse().unwrap()).collect();
        // The first process there is the sandbox's own; those above have other numbers by far.
        assert!(!pids.is_empty() && pids.iter().all(|pid| (2..20).contains(pid)), "{name}: {pids:?}: {reason}");
    }
    assert!(!mark.exists(), "a library of a package's was loaded outside");
    stop(served);
}

/// `#!` lines that name what is not the package's.
pub(super) fn n41(_: &Site) {
    let mut street = Street::new();
    let home = street.at("home").display().to_string();
    let listener = UnixListener::bind(street.at("home/socket")).unwrap();
    listener.set_nonblocking(true).unwrap();
    street.program("other/serve", &format!("#!/bin/sh\necho {RAN}\n"));
    street.script("other", "true", "", WHOLE);
    let other = street.at("other/serve").display().to_string();
    let told = "egress.sandboxPaths";
    let expected = [
        ("outside", format!("#!{home}/bin/tool"), told),
        ("blanks", format!("#! \t {home}/bin/tool \t -x"), told),
        ("return", format!("#!{home}/bin/tool\r"), told),
        ("split", format!("#!{home}\u{a0}/bin/tool"), told),
        ("neighbour", format!("#!{other}"), told),
        ("socket", format!("#!{home}/socket"), told),
        ("directory", format!("#!{home}"), told),
        ("dots", format!("#!/usr/../{}/bin/tool", &home[1..]), told),
        ("run", "#!/run/docker.sock".to_owned(), "nothing there is ever shown"),
        ("daemon", "#!/proc/self/exe __confine".to_owned(), "nothing there is ever shown"),
        ("root", "#!/".to_owned(), "nothing there is ever shown"),
        ("relative", "#!../home/bin/tool".to_owned(), "cannot run"),
        ("long", format!("#!/{}", "x".repeat(300)), "cannot run"),
        ("hidden-after", format!("#!{}{home}/bin/tool", " ".repeat(250)), "cannot run"),
        ("none", "#!".to_owned(), "cannot run"),
    ];
    for (name, line, _) in &expected {
        street.package(name, "run: {command: [./serve]}\n", WHOLE);
        street.program(&format!("{name}/serve"), &format!("{line}\n"));
    }
    let served = street.serve("");
    for (name, _, expect) in expected {
        let reason = reason(&served, name);
        assert!(reason.contains(expect), "{name}: {reason}");
    }
    assert_untold(&served);
    assert!(listener.accept().is_err(), "somebody came");
    stop(served);
}

/// Python environments that are, or were made from, another app's.
pub(super) fn n42(_: &Site) {
    let mut street = Street::new();
    street.script("other", "true", "", WHOLE);
    street.program("other/.venv/bin/python", &format!("#!/bin/sh\necho {RAN}\n"));
    street.file("other/.venv/pyvenv.cfg", "home = /usr/bin\n");
    let venv = street.at("other/.venv");
    let own = "#!/bin/sh\ncat $1/../../home/secret ../home/secret; echo own; exit 3\n";
    for name in ["cfg", "cfg-link", "venv", "python", "twice"] {
        street.package(name, "", WHOLE);
        street.file(&format!("{name}/pyproject.toml"), "[tool.gestalt]\nprovider = \"x:y\"\n");
    }
    street.program("cfg/.venv/bin/python", own);
    street.file("cfg/.venv/pyvenv.cfg", &format!("version = 3\nhome = {}/bin\n", venv.display()));
    street.program("cfg-link/.venv/bin/python", own);
    street.link(street.at("home/secret"), "cfg-link/.venv/pyvenv.cfg");
    street.link(&venv, "venv/.venv");
    street.link(venv.join("bin/python"), "python/.venv/bin/python");
    street.link("../../../python/.venv/bin/python", "twice/.venv/bin/python");
    let served = street.serve("");
    for name in ["cfg", "venv", "python", "twice"] {
        let reason = reason(&served, name);
        assert!(reason.contains("egress.sandboxPaths"), "{name}: {reason}");
    }
    // What it would quote is not its own; and its own interpreter runs as it is.
    assert!(reason(&served, "cfg-link").contains("own"), "{}", reason(&served, "cfg-link"));
    assert_untold(&served);
    stop(served);
}

/// Commands and directories outside of the package, or behind links that lead there.
pub(super) fn n43(_: &Site) {
    let mut street = Street::new();
    let home = street.at("home").display().to_string();
    let outside = format!("{home}/bin/tool");
    for (name, run) in [
        ("init", "command: [/proc/1/exe, __confine]"),
        ("self", "command: [/proc/self/exe, __confine]"),
        ("up", "command: [../home/bin/tool]"),
        ("absolute", &format!("command: [{outside:?}]")),
        ("link", "command: [./link]"),
        ("through", "command: [./around/home/bin/tool]"),
        ("secret", "command: [sh, ./secret]"),
        ("argument", "command: [cat, ./around/home/secret, ./secret]"),
        ("work-up", "command: [sh, -c, 'cat secret; exit 3'], workdir: ../home"),
        ("work-link", "command: [sh, -c, 'cat secret; exit 3'], workdir: around/home"),
        ("work-proc", "command: [sh, -c, 'cat 1/environ; exit 3'], workdir: proc"),
    ] {
        street.package(name, &format!("run: {{{run}}}\n"), WHOLE);
        street.link(&outside, &format!("{name}/link"));
        street.link(street.at("home/secret"), &format!("{name}/secret"));
        street.link("..", &format!("{name}/around"));
        street.link("/proc", &format!("{name}/proc"));
    }
    let served = street.serve("");
    for (name, expect) in [
        ("init", "/proc/1/exe"),
        ("self", "nothing there is ever shown"),
        ("up", "egress.sandboxPaths"),
        ("absolute", "egress.sandboxPaths"),
        ("link", "egress.sandboxPaths"),
        ("through", "egress.sandboxPaths"),
        ("secret", "./secret"),
        ("argument", "No such file"),
        ("work-up", "package"),
        ("work-link", "cannot run in"),
        ("work-proc", "exit status: 3"),
    ] {
        let reason = reason(&served, name);
        assert!(reason.contains(expect), "{name}: {reason}");
    }
    assert_untold(&served);
    stop(served);
}

/// Variables that would make something writable.
pub(super) fn n44(_: &Site) {
    let mut street = Street::new();
    let script = "echo \"at-home=$HOME.$TMPDIR.\"; for d in / /proc /proc/sys/vm /usr /etc /home /root \
        \"$XDG_CACHE_HOME\" \"$GESTALT_X\" . ; do touch \"$d/x\" 2>/dev/null && echo \"wrote=$d.\"; done; \
        (echo 0 > /proc/sys/vm/overcommit_memory) 2>/dev/null && echo wrote=kernel.";
    let home = street.at("home").display().to_string();
    let names = ["HOME", "TMPDIR", "XDG_CACHE_HOME", "GESTALT_X", "GESTALT_PROVIDER_SOCKET"];
    for (name, place) in [("proc", "/proc"), ("usr", "/usr"), ("etc", "/etc"), ("house", &home), ("up", "/tmp/../etc")]
    {
        let vars = variables(&names.map(|name| (name, place)));
        street.script(name, script, &format!(", {vars}"), WHOLE);
        street.script(&format!("{name}-entry"), script, "", &format!("{WHOLE}, {vars}"));
    }
    let served = street.serve("");
    for name in ["proc", "usr", "etc", "house", "up"].map(|name| [name.to_owned(), format!("{name}-entry")]).concat() {
        let reason = reason(&served, &name);
        assert!(reason.contains("at-home=/home/app./tmp."), "{name}: {reason}");
        assert!(!reason.contains("wrote="), "{name}: {reason}");
    }
    assert!(!street.at("home/x").exists());
    stop(served);
}
