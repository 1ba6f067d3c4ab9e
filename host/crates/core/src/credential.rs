use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroize;

/// A value that must not be seen: no `Display`, a `Debug` that hides it, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each use of this is a place to review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Connection parameters: what discovery, the token response and the user said about a connection.
pub type Metadata = BTreeMap<String, String>;

/// A resolved upstream credential, ready to be handed to an executor.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The connection of the app it belongs to.
    pub connection: String,
    /// Which of the subject's credentials for that connection.
    pub instance: String,
    /// Access token, or the JSON text of manual credential fields.
    pub token: Secret<String>,
    /// Parameters of the connection.
    pub params: Metadata,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_value() {
        let credential = Credential {
            connection: "default".into(),
            instance: "default".into(),
            token: Secret::new("hunter2".to_owned()),
            params: Metadata::new(),
        };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }
}
