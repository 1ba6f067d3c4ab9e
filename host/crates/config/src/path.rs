//! Where in a tree of keys something is.

use std::fmt;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Steps from the top. Printed `apps.github.egress.allowedHosts[2]`; keys that hold other characters are quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub(crate) Vec<Step>);

impl KeyPath {
    /// The path one key further.
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut longer = self.clone();
        longer.0.push(Step::Key(key.to_owned()));
        longer
    }

    /// The path of one item.
    pub(crate) fn index(&self, index: usize) -> Self {
        let mut longer = self.clone();
        longer.0.push(Step::Index(index));
        longer
    }

    /// The path to `dotted`, in which no key holds a dot.
    pub(crate) fn dotted(&self, dotted: &str) -> Self {
        let mut longer = self.clone();
        longer.0.extend(dotted.split('.').map(|key| Step::Key(key.to_owned())));
        longer
    }

    /// Whether `pattern` (`apps.*.env`) names this very path; `*` stands for any one step.
    pub(crate) fn matches(&self, pattern: &str) -> bool {
        let like = |(want, step): (&str, &Step)| match step {
            Step::Key(key) => want == "*" || want == key,
            Step::Index(_) => want == "*",
        };
        self.0.len() == pattern.split('.').count() && pattern.split('.').zip(&self.0).all(like)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            let plain =
                |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            match step {
                Step::Key(key) if plain(key) && i == 0 => f.write_str(key)?,
                Step::Key(key) if plain(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_matches() {
        let path = KeyPath::default().dotted("apps.x.egress.allowedHosts").index(2);
        assert_eq!(path.to_string(), "apps.x.egress.allowedHosts[2]");
        assert_eq!(KeyPath::default().key("a b").key("c").to_string(), "[\"a b\"].c");
        assert!(!path.matches("apps.*.egress"));
        assert!(path.matches("apps.*.egress.allowedHosts.*"));
    }
}
