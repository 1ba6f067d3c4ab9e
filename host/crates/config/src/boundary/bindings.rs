//! Databases, connections and operations of an app.

use super::{Comparison, listed};
use crate::deployment::{App, Binding, Connection, Deployment};
use crate::manifest::connections::ConnectionMode;
use crate::path::KeyPath;
use std::collections::BTreeSet;

impl Comparison<'_> {
    pub(super) fn database(&mut self, who: &str, at: &KeyPath, before: &App, after: &App) {
        let of = |deployment: &Deployment, app: &App| {
            let selected = deployment.providers.indexeddb.selected.clone();
            match &app.indexeddb {
                None => (selected, app.name.to_string(), Vec::new()),
                Some(given) => (given.provider.clone().or(selected), given.db.clone(), given.object_stores.clone()),
            }
        };
        let ((was_in, was, had), (is_in, is, has)) = (of(self.before, before), of(self.after, after));
        if (&was_in, &was) != (&is_in, &is) {
            let named = |provider: &Option<String>, db: &str| match provider {
                Some(provider) => format!("`{db}` of `{provider}`"),
                None => format!("`{db}` of the daemon's own"),
            };
            self.say(Some(who), at.clone(), named(&was_in, &was), named(&is_in, &is));
        }
        if had.is_empty() {
            return;
        }
        let stores = at.key("objectStores");
        if has.is_empty() {
            self.say(Some(who), stores, listed(self.before, &at.key("objectStores")), "all");
        } else {
            self.names(who, &stores, &had, &has);
        }
    }

    pub(super) fn connections(&mut self, who: &str, at: &KeyPath, before: &App, after: &App) {
        for (name, binding) in &after.connections {
            let at = at.key(name);
            let Some(known) = before.connections.get(name) else {
                self.say(Some(who), at, "no such connection", format!("connection {}", bound(binding)));
                continue;
            };
            if bound(known) != bound(binding) {
                self.say(Some(who), at.clone(), bound(known), bound(binding));
            }
            if let (Binding::Reference { internal: true, .. }, Binding::Reference { internal: false, .. }) =
                (known, binding)
            {
                self.say(Some(who), at.key("exposure"), "`internal`", "`user`");
            }
            let (was, is) = (connection(self.before, known), connection(self.after, binding));
            let (Some(was), Some(is)) = (was, is) else { continue };
            let own = match binding {
                Binding::Reference { connection, .. } => KeyPath::default().key("connections").key(connection),
                Binding::Inline(_) => at,
            };
            if (was.mode(), is.mode()) == (ConnectionMode::None, ConnectionMode::Subject) {
                self.say(Some(who), own.key("mode"), "`none`", "`subject`");
            }
            let scopes =
                |of: &Connection| -> BTreeSet<String> { of.auth.oauth.scopes.iter().flatten().cloned().collect() };
            if let Some(scope) = scopes(is).difference(&scopes(was)).next() {
                let at = own.dotted("auth.scopes");
                self.say(Some(who), at.clone(), listed(self.before, &at), format!("also `{scope}`"));
            }
        }
    }

    pub(super) fn operations(&mut self, who: &str, at: &KeyPath, before: &App, after: &App) {
        let Some(known) = &before.allowed_operations else { return };
        let Some(offered) = &after.allowed_operations else {
            self.say(Some(who), at.clone(), "a list of operations", "all that the manifest offers");
            return;
        };
        for id in offered.keys().filter(|id| !known.contains_key(*id)) {
            self.say(Some(who), at.key(id), "not offered", "offered");
        }
    }
}

/// What a connection's name is bound to.
fn bound(binding: &Binding) -> String {
    match binding {
        Binding::Reference { connection, .. } => format!("`{connection}`"),
        Binding::Inline(_) => "one of its own".to_owned(),
    }
}

fn connection<'a>(deployment: &'a Deployment, binding: &'a Binding) -> Option<&'a Connection> {
    match binding {
        Binding::Reference { connection, .. } => deployment.connections.get(connection),
        Binding::Inline(own) => Some(own),
    }
}
