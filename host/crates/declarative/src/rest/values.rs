use serde_json::value::RawValue;

/// A JSON value as it is written outside of JSON.
pub(super) enum Text {
    /// `null`: as if it was not given.
    Absent,
    /// One value.
    One(String),
    /// A list, `null`s left out.
    Many(Vec<String>),
    /// An object, or a list in a list: has no form that two upstreams would agree on.
    Structured,
}

impl Text {
    /// Strings lose their quotes; numbers keep the digits they were written with, so that a 64-bit id stays exact.
    pub(super) fn of(raw: &RawValue) -> Self {
        let text = raw.get().trim();
        match text.as_bytes().first() {
            Some(b'n') => Self::Absent,
            Some(b'"') => serde_json::from_str(text).map_or(Self::Structured, Self::One),
            Some(b'{') => Self::Structured,
            Some(b'[') => Self::of_list(text),
            _ => Self::One(text.to_owned()),
        }
    }

    fn of_list(text: &str) -> Self {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Self::Structured };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match Self::of(item) {
                Self::Absent => {}
                Self::One(text) => texts.push(text),
                Self::Many(_) | Self::Structured => return Self::Structured,
            }
        }
        Self::Many(texts)
    }
}
