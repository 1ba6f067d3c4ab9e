use std::fmt;
use std::sync::Arc;

/// Who: a canonical `kind:id`, such as `user:42`, `service_account:triage-bot` or `system:config`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectRef {
    text: Arc<str>,
    kind_len: usize,
}

/// A text that is not `kind:id` with both parts non-empty.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("subject must be `kind:id` with both parts non-empty")]
pub struct SubjectError;

impl SubjectRef {
    /// Splits at the first `:`.
    ///
    /// # Errors
    /// When either part is empty.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        match text.split_once(':') {
            Some((kind, id)) if !kind.is_empty() && !id.is_empty() => {
                Ok(Self { text: text.into(), kind_len: kind.len() })
            }
            _ => Err(SubjectError),
        }
    }

    /// The part before the first colon: `user`, `service_account`, `system`, or a deployment's own.
    pub fn kind(&self) -> &str {
        &self.text[..self.kind_len]
    }

    /// The part after the first colon.
    pub fn id(&self) -> &str {
        &self.text[self.kind_len + 1..]
    }

    /// The whole `kind:id`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SubjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SubjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// The authenticated caller of an invocation and what its token lets it do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who calls.
    pub subject: SubjectRef,
    /// Human name for logs and consent pages; may be empty.
    pub display_name: String,
    /// Verified e-mail of a user; empty otherwise.
    pub email: String,
    /// How the caller proved who it is: `session`, `api_token`, `env`, …
    pub auth_source: &'static str,
    /// Token ceiling: `None` means everything the subject itself may do.
    pub permissions: Option<Vec<AppPermission>>,
}

/// One app in a token's ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPermission {
    /// The app.
    pub app: crate::AppName,
    /// These operations only; `None` means all of the app.
    pub operations: Option<Vec<String>>,
}

impl Principal {
    /// The caller when the deployment configures no authentication at all.
    pub fn anonymous() -> Self {
        let text: Arc<str> = "user:anonymous".into();
        Self {
            subject: SubjectRef { text, kind_len: "user".len() },
            display_name: "Anonymous".into(),
            email: "anonymous@gestalt".into(),
            auth_source: "env",
            permissions: None,
        }
    }

    /// Whether the token ceiling covers the operation.
    pub fn may_invoke(&self, app: &crate::AppName, operation: &str) -> bool {
        let Some(permissions) = &self.permissions else { return true };
        permissions
            .iter()
            .filter(|p| p.app == *app)
            .any(|p| p.operations.as_ref().is_none_or(|ops| ops.iter().any(|o| o == operation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AppName;

    #[test]
    fn splits_at_the_first_colon() {
        let subject = SubjectRef::parse("system:http_binding:app:hook").unwrap();
        assert_eq!((subject.kind(), subject.id()), ("system", "http_binding:app:hook"));
        for text in ["", "user", "user:", ":x"] {
            assert_eq!(SubjectRef::parse(text), Err(SubjectError), "{text:?}");
        }
    }

    #[test]
    fn a_token_ceiling_only_narrows() {
        let (a, b) = (AppName::parse("a").unwrap(), AppName::parse("b").unwrap());
        let mut principal = Principal::anonymous();
        assert!(principal.may_invoke(&a, "x"));
        principal.permissions = Some(vec![
            AppPermission { app: a.clone(), operations: Some(vec!["x".into()]) },
            AppPermission { app: b.clone(), operations: None },
        ]);
        assert!(principal.may_invoke(&a, "x") && !principal.may_invoke(&a, "y") && principal.may_invoke(&b, "y"));
        principal.permissions = Some(vec![]);
        assert!(!principal.may_invoke(&a, "x"));
    }
}
