//! What an entry gives its app.

use super::hosts::Reach;
use super::server::SANDBOX;
use super::{Comparison, listed};
use crate::deployment::{App, Invokes, RunAs};
use crate::manifest::connections::ConnectionMode;
use crate::path::KeyPath;
use gestalt_core::egress::{HeldCredential, Mode, Rules, Sandbox, SandboxPath, Settings};
use gestalt_core::host::HostPattern;

impl Comparison<'_> {
    /// Every app of the later deployment. One that is new is held to what the server says of apps that say nothing.
    pub(super) fn apps(&mut self) {
        let (earlier, later) = (self.before, self.after);
        for app in later.apps.values() {
            let at = KeyPath::default().key("apps").key(app.name.as_str());
            let who = at.to_string();
            match earlier.apps.get(&app.name) {
                Some(before) => self.app(&who, &at, before, app),
                None => self.new_app(&who, &at.key("egress"), &earlier.server.egress, &app.egress),
            }
        }
    }

    fn new_app(&mut self, who: &str, at: &KeyPath, server: &Settings, rules: &Rules) {
        self.sandbox(who, at, (server.sandbox, &server.sandbox_paths), rules);
        if rules.mode == Mode::Observe && server.mode == Mode::Enforce {
            let path = self.own_or(at.key("mode"), "server.egress.mode");
            self.say(Some(who), path, "`enforce`", "`observe`");
        }
        if server.require_tls && !rules.require_tls {
            let path = self.own_or(at.key("requireTls"), "server.egress.requireTls");
            self.say(Some(who), path, "`true`", "`false`");
        }
    }

    fn app(&mut self, who: &str, at: &KeyPath, before: &App, after: &App) {
        let egress = at.key("egress");
        self.rules(who, &egress, &before.egress, &after.egress);
        self.credentials(who, &egress.key("credentials"), &before.egress.credentials, &after.egress.credentials);
        self.invokes(who, &at.key("invokes"), &before.invokes, &after.invokes);
        self.names(who, &at.key("cache"), &before.cache, &after.cache);
        self.names(who, &at.key("s3"), &before.s3, &after.s3);
        self.names(who, &at.dotted("dev.attach.allowedRoles"), &before.attach_roles, &after.attach_roles);
        self.database(who, &at.key("indexeddb"), before, after);
        self.connections(who, &at.key("connections"), before, after);
        self.operations(who, &at.key("allowedOperations"), before, after);
        if let (Some(policy), None) = (&before.authorization_policy, &after.authorization_policy) {
            self.say(
                Some(who),
                at.key("authorizationPolicy"),
                format!("`{policy}`"),
                "nothing, so that all may call it",
            );
        }
        self.placement(who, at, before, after);
    }

    fn rules(&mut self, who: &str, at: &KeyPath, before: &Rules, after: &Rules) {
        let Rules { allowed, at: _, mode: _, require_tls: _, credentials: _, sandbox: _, sandbox_paths: _ } = after;
        let list = at.key("allowedHosts");
        let was = Reach::of(self.before, &before.allowed, &list, Some(before));
        let is = Reach::of(self.after, allowed, &list, Some(after));
        self.hosts(who, &list, &was, &is);
        self.mode_and_tls(who, at, &was, &is);
        self.sandbox(who, at, (before.sandbox, &before.sandbox_paths), after);
    }

    fn sandbox(&mut self, who: &str, at: &KeyPath, (before, shown): (Sandbox, &[SandboxPath]), after: &Rules) {
        let path = self.own_or(at.key("sandbox"), "server.egress.sandbox");
        self.word(Some(who), path, &SANDBOX, before.as_str(), after.sandbox.as_str());
        let path = self.own_or(at.key("sandboxPaths"), "server.egress.sandboxPaths");
        self.paths(Some(who), &path, shown, &after.sandbox_paths);
    }

    /// A credential is the same one when it travels in the same header and the app finds it in the same place. Its value
    /// is not compared.
    fn credentials(&mut self, who: &str, at: &KeyPath, before: &[HeldCredential], after: &[HeldCredential]) {
        for (i, held) in after.iter().enumerate() {
            let HeldCredential { header, hosts, value: _, format, env, token } = held;
            let at = at.index(i);
            let same = |known: &&HeldCredential| (&known.header, &known.env, &known.token) == (header, env, token);
            let Some(known) = before.iter().find(same) else {
                let new = format!("a credential in `{header}` toward {}", listed(self.after, &at.key("hosts")));
                self.say(Some(who), at, "no such credential", new);
                continue;
            };
            let covered = |pattern: &HostPattern| known.hosts.iter().any(|wide| wide.covers(pattern));
            if let Some(i) = hosts.iter().position(|pattern| !covered(pattern)) {
                let was: Vec<String> = known.hosts.iter().map(|pattern| format!("`{pattern}`")).collect();
                let at = at.key("hosts");
                self.say(Some(who), at.index(i), was.join(", "), listed(self.after, &at));
            }
            if let (Some(was), None) = (&known.format, format) {
                self.say(Some(who), at.key("format"), format!("`{was}`"), "what the app writes around it");
            }
        }
    }

    fn invokes(&mut self, who: &str, at: &KeyPath, before: &[Invokes], after: &[Invokes]) {
        for (i, granted) in after.iter().enumerate() {
            let Invokes { at: _, app, operation, credential_mode, run_as } = granted;
            let called = match operation {
                Some(operation) => format!("`{app}.{operation}`"),
                None => format!("`{app}`, all of its GraphQL surface"),
            };
            match before.iter().find(|known| (&known.app, &known.operation) == (app, operation)) {
                None => self.say(Some(who), at.index(i), listed_calls(before), format!("also {called}")),
                // Whoever is acted for, and with whose credentials: no order is known of these.
                Some(known) if acts_for(known.run_as.as_ref()) != acts_for(run_as.as_ref()) => {
                    let (was, is) = (acts_for(known.run_as.as_ref()), acts_for(run_as.as_ref()));
                    self.say(Some(who), at.index(i).key("runAs"), format!("{called} for {was}"), format!("for {is}"));
                }
                Some(known) if known.credential_mode != *credential_mode => {
                    let mode = |mode: &Option<ConnectionMode>| match mode {
                        None => "the operation's own choice",
                        Some(ConnectionMode::None) => "`none`",
                        Some(ConnectionMode::Subject) => "`subject`",
                    };
                    let at = at.index(i).key("credentialMode");
                    if *credential_mode != Some(ConnectionMode::None) {
                        self.say(Some(who), at, mode(&known.credential_mode), mode(credential_mode));
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Names of what the app is given.
    pub(super) fn names(&mut self, who: &str, at: &KeyPath, before: &[String], after: &[String]) {
        for (i, name) in after.iter().enumerate().filter(|(_, name)| !before.contains(name)) {
            self.say(Some(who), at.index(i), listed(self.before, at), format!("also `{name}`"));
        }
    }
}

/// What calls were granted.
fn listed_calls(granted: &[Invokes]) -> String {
    let named = |one: &Invokes| format!("`{}.{}`", one.app, one.operation.as_deref().unwrap_or("graphql"));
    let all: Vec<String> = granted.iter().take(4).map(named).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// On whose behalf a call is made.
fn acts_for(run_as: Option<&RunAs>) -> String {
    match run_as {
        None => "the caller".to_owned(),
        Some(RunAs { subject, credential_subject: None, .. }) => format!("`{subject}`"),
        Some(RunAs { subject, credential_subject: Some(other), .. }) => {
            format!("`{subject}` with the credentials of `{other}`")
        }
    }
}
