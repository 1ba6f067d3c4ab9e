//! Stage 0: secrets. Each one the configuration refers to is had once, before anything else is built.

use anyhow::anyhow;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use gestalt_config::deployment::Secrets;
use gestalt_config::{Deployment, Problem, Problems, SecretRef};
use gestalt_core::Secret;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Largest secret read from a file. A key ring or a certificate chain fits; a disk passed by mistake does not.
const LARGEST: u64 = 1 << 20;

/// The deployment with every secret in its place, checked again with them.
///
/// # Errors
/// Every secret that cannot be had, at the place that needs it; or what its value makes wrong.
pub(super) async fn supply(deployment: Deployment) -> anyhow::Result<Deployment> {
    if deployment.secret_refs().is_empty() {
        return Ok(deployment);
    }
    let read = tokio::task::spawn_blocking(move || {
        let secrets = read(&deployment, &|name| std::env::var(name).ok())?;
        tracing::info!(secrets = secrets.len(), "secrets supplied");
        deployment.with_secrets(&secrets)
    });
    read.await?.map_err(|problems| anyhow!("configuration refused\n{problems}"))
}

/// Every secret that is needed, each read once.
fn read(
    deployment: &Deployment,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<SecretRef, Secret<String>>, Problems> {
    let mut secrets: BTreeMap<SecretRef, Secret<String>> = BTreeMap::new();
    let mut problems = Problems::default();
    for provider in deployment.secrets_order() {
        let Some(source) = deployment.providers.secrets.get(provider) else { continue };
        for needed in deployment.secret_refs().iter().filter(|needed| needed.secret.provider == *provider) {
            if secrets.contains_key(&needed.secret) {
                continue;
            }
            match read_one(source, &needed.secret.name, env) {
                Ok(value) if value.is_empty() => {
                    let message = format!("the secret from provider `{provider}` is empty");
                    problems.0.push(Problem::new(needed.at.clone(), &needed.path, message));
                }
                Ok(value) => {
                    secrets.insert(needed.secret.clone(), Secret::new(value));
                }
                Err(why) => {
                    let message = format!("provider `{provider}` has no such secret: {why}");
                    problems.0.push(Problem::new(needed.at.clone(), &needed.path, message));
                }
            }
        }
    }
    if problems.is_empty() { Ok(secrets) } else { Err(problems) }
}

fn read_one(source: &Secrets, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    match source {
        Secrets::Env { prefix } => {
            let variable = format!("{prefix}{}", name.to_uppercase().replace('-', "_"));
            if variable.contains(['=', '\0']) {
                return Err("its name is not that of an environment variable".to_owned());
            }
            env(&variable).ok_or_else(|| format!("environment variable {variable} is not set"))
        }
        Secrets::File { dir } => read_file(dir, name),
        Secrets::Package(_) => Err("secrets providers from packages are not available yet".to_owned()),
    }
}

/// The file of that name in the directory. Links inside the directory are followed, as mounted secrets need it; what
/// leads out of it is refused.
fn read_file(dir: &Path, name: &str) -> Result<String, String> {
    let shown = dir.display();
    let opened = Dir::open_ambient_dir(dir, ambient_authority())
        .map_err(|error| format!("the directory {shown} cannot be opened: {}", error.kind()))?;
    let file = opened.open(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{shown} has no file of that name"),
        ErrorKind::PermissionDenied => format!("the file of that name leads out of {shown}, or may not be read"),
        kind => format!("the file of that name in {shown} cannot be opened: {kind}"),
    })?;
    let mut bytes = Vec::new();
    let read = file.into_std().take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("the file of that name in {shown} cannot be read: {}", error.kind()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("the file of that name in {shown} is larger than {} KiB", LARGEST >> 10));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("the file of that name in {shown} is not text"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_environment() {
        let env = |name: &str| (name == "APP_DB_PASSWORD").then(|| "hunter2".to_owned());
        let source = Secrets::Env { prefix: "APP_".to_owned() };
        assert_eq!(read_one(&source, "db-password", &env).as_deref(), Ok("hunter2"));
        assert!(read_one(&source, "other", &env).unwrap_err().contains("APP_OTHER is not set"));
        assert!(read_one(&source, "a=b", &env).is_err());
    }

    #[test]
    fn from_files_of_one_directory_only() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("secrets");
        std::fs::create_dir_all(dir.join("..data")).unwrap();
        std::fs::write(root.path().join("outside"), "not yours").unwrap();
        std::fs::write(dir.join("..data/token"), "s3cret\r\n\n").unwrap();
        std::fs::write(dir.join("empty"), "\n").unwrap();
        std::fs::write(dir.join("bytes"), [0xff]).unwrap();
        std::fs::write(dir.join("large"), vec![b'x'; LARGEST as usize + 1]).unwrap();
        std::os::unix::fs::symlink("..data/token", dir.join("token")).unwrap();
        std::os::unix::fs::symlink("../outside", dir.join("link")).unwrap();
        assert_eq!(read_file(&dir, "token").as_deref(), Ok("s3cret"));
        assert_eq!(read_file(&dir, "empty").as_deref(), Ok(""));
        for (name, why) in [
            ("gone", "has no file"),
            ("../outside", "leads out"),
            ("link", "leads out"),
            ("/etc/hostname", "leads out"),
            ("bytes", "is not text"),
            ("large", "larger than 1024 KiB"),
        ] {
            let error = read_file(&dir, name).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        assert!(read_file(&root.path().join("nowhere"), "x").unwrap_err().contains("cannot be opened"));
    }
}
