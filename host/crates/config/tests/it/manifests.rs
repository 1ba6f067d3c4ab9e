use crate::fixture::{Fixture, check};
use gestalt_config::{Manifest, Problems};

fn read(fixture: &Fixture) -> Result<String, String> {
    let load = if fixture.released { Manifest::load_released } else { Manifest::load };
    let main = fixture.env.dir.join("main.yaml");
    let manifest = load(if main.exists() { &main } else { &fixture.env.dir });
    let manifest = manifest.map_err(|problems| problems.to_string())?;
    let catalog = manifest.catalog().map_err(|problems| problems.to_string())?;
    let catalog = catalog.map(|c| format!("\ncatalog: {c:#?}")).unwrap_or_default();
    Ok(render(&manifest) + &catalog)
}

/// What a connection is when it does not say otherwise.
const DEFAULTS: [&str; 5] = [
    "exposure: User,",
    "client_auth: Body,",
    "token_exchange: Form,",
    "scope_param: \"scope\",",
    "scope_separator: \" \",",
];

/// What the manifest says; what it does not say is left out.
fn render(manifest: &Manifest) -> String {
    let mut bare = manifest.clone();
    (bare.warnings, bare.unenforced) = (Problems::default(), Problems::default());
    let text = format!("{bare:#?}").replace("Problems(\n        [],\n    )", "[]");
    let text = text.replace("ResponseHeaders(\n                {},\n            )", "[]");
    let says = |line: &&str| {
        let nothing = ["None", "[]", "{}", "false", "Origin"].iter().any(|n| line.ends_with(&format!(": {n},")));
        !nothing
            && !DEFAULTS.contains(&line.trim())
            && !["    file: ", "    root: "].iter().any(|f| line.starts_with(f))
    };
    let mut out: String = text.lines().filter(says).map(|line| format!("{line}\n")).collect();
    for (title, problems) in [("warnings", &manifest.warnings), ("not started, because", &manifest.unenforced)] {
        if !problems.is_empty() {
            out += &format!("\n{title}:\n{problems}\n");
        }
    }
    out
}

#[test]
fn manifests() {
    check("manifest", read);
}

#[test]
fn found_in_its_directory_json_first() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, version: &str| {
        let text = format!(
            "{{\n\t\"kind\": \"app\",\n\t\"source\": \"a.b/c/d/e\",\n\t\"version\": \"{version}\", \"spec\": {{}}}}"
        );
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    assert!(Manifest::load(dir.path()).unwrap_err().to_string().contains("the directory has no manifest.json"));
    assert!(Manifest::load(&dir.path().join("gone.yaml")).unwrap_err().to_string().contains("no such file"));
    for (name, version) in [("manifest.yml", "1.0.0"), ("manifest.yaml", "2.0.0"), ("manifest.json", "3.0.0")] {
        write(name, version);
        assert_eq!(Manifest::load(dir.path()).unwrap().version.to_string(), version);
    }
}

#[cfg(unix)]
#[test]
fn files_are_read_inside_the_package_only() {
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    std::fs::create_dir(&package).unwrap();
    std::fs::write(package.join("manifest.yaml"), "kind: app\nsource: a.b/c/d/e\nversion: 1.0.0\nspec: {}\n").unwrap();
    std::fs::write(dir.path().join("outside"), "secret").unwrap();
    std::fs::write(package.join("inside"), "open").unwrap();
    std::os::unix::fs::symlink("../outside", package.join("out")).unwrap();
    std::os::unix::fs::symlink("inside", package.join("in")).unwrap();
    let manifest = Manifest::load(&package).unwrap();
    assert_eq!(manifest.read("in".as_ref()).unwrap(), "open");
    assert!(manifest.read("out".as_ref()).is_err());
    assert!(manifest.read("../outside".as_ref()).is_err());
    std::os::unix::fs::symlink("../outside", package.join("catalog.yaml")).unwrap();
    assert!(manifest.catalog().is_err());
}

/// What a package puts in the place of its files is neither followed out of it nor waited for.
#[test]
fn files_of_a_package_are_regular_and_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let package = |name: &str| {
        let package = dir.path().join(name);
        std::fs::create_dir(&package).unwrap();
        package
    };
    let manifest = "kind: app\nsource: github.com/gestaltd/tests/x\nversion: 0.1.0\nspec: {}\n";
    std::fs::write(dir.path().join("secret"), "token: hunter2\n").unwrap();
    let pipe =
        |path: &std::path::Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());

    let linked = package("linked");
    std::os::unix::fs::symlink(dir.path().join("secret"), linked.join("manifest.yaml")).unwrap();
    let told = Manifest::load(&linked).unwrap_err().to_string();
    assert!(told.contains("manifest.yaml") && !told.contains("hunter2"), "{told}");

    let piped = package("piped");
    pipe(&piped.join("manifest.yaml"));
    let told = Manifest::load(&piped.join("manifest.yaml")).unwrap_err().to_string();
    assert!(told.contains("neither a file nor a directory"), "{told}");

    let catalog = package("catalog");
    std::fs::write(catalog.join("manifest.yaml"), manifest).unwrap();
    pipe(&catalog.join("catalog.yaml"));
    let told = Manifest::load(&catalog).unwrap().catalog().unwrap_err().to_string();
    assert!(told.contains("catalog.yaml") && told.contains("is not a regular file"), "{told}");
    std::fs::remove_file(catalog.join("catalog.yaml")).unwrap();
    std::os::unix::fs::symlink("../secret", catalog.join("catalog.yaml")).unwrap();
    let told = Manifest::load(&catalog).unwrap().catalog().unwrap_err().to_string();
    assert!(!told.contains("hunter2"), "{told}");
}
