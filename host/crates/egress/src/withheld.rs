//! What the operator hears of header fields that an app sends in vain.

use gestalt_core::AppName;
use gestalt_core::foreign::Foreign;
use http::HeaderName;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Names told of for each app. They are the app's to choose; who makes up more has been noticed.
const MOST: usize = 16;

/// The fields that were told of already.
#[derive(Debug, Default)]
pub(crate) struct Withheld(Mutex<HashSet<HeaderName>>);

impl Withheld {
    /// Says once for each field that it is not sent, why, and what would let it pass. The app is not told: it may be code
    /// that always sends it and needs no answer.
    pub(crate) fn tell(&self, app: &AppName, name: &HeaderName, why: &'static str) {
        if self.is_news(name) {
            tracing::warn!(
                target: "gestalt::egress",
                %app,
                header = %Foreign::name(name.as_str()),
                why,
                config = "server.egress.forwardedHeaders: pass",
                "a header of the app is not sent: servers believe it of proxies"
            );
        }
    }

    fn is_news(&self, name: &HeaderName) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST && told.insert(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_told_of_once_and_not_without_end() {
        let withheld = Withheld::default();
        let name = |n: usize| HeaderName::try_from(format!("x-real-{n}")).unwrap();
        assert!(withheld.is_news(&name(0)) && !withheld.is_news(&name(0)));
        assert_eq!((0..100).filter(|n| withheld.is_news(&name(*n))).count(), MOST - 1);
    }
}
