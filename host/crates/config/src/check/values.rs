//! Values that are written as text or numbers and mean something else.

use super::Report;
use crate::path::KeyPath;
use gestalt_core::SubjectRef;
use gestalt_core::limits::ByteSize;
use std::ops::RangeInclusive;
use std::time::Duration;
use url::Url;

/// Go's syntax (`1h30m`, `250ms`) or `<int>d`. `None` for anything else, zero and negative ones included.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    const NANOS: [(&str, u64); 9] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = &rest[..rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())];
        rest = &rest[number.len()..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len())];
        rest = &rest[unit.len()..];
        let (_, nanos) = NANOS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let day_alone = total == 0 && rest.is_empty() && !number.contains('.');
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || (unit == "d" && !day_alone) {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(*nanos)?)?;
        // Nine digits are a nanosecond of a second; a tenth one of an hour would not be missed.
        for (place, digit) in (1..=12).zip(fraction.bytes()) {
            total = total.checked_add(u64::from(digit - b'0') * nanos / 10u64.pow(place))?;
        }
    }
    // Go counts in signed nanoseconds: about 292 years.
    (total > 0 && i64::try_from(total).is_ok()).then_some(Duration::from_nanos(total))
}

impl Report<'_> {
    /// A duration, or `default`.
    pub(crate) fn duration(&mut self, path: &KeyPath, raw: Option<&str>, default: Duration) -> Duration {
        raw.map_or(Some(default), |text| self.some_duration(path, text)).unwrap_or(default)
    }

    /// A duration.
    pub(crate) fn some_duration(&mut self, path: &KeyPath, text: &str) -> Option<Duration> {
        let duration = parse_duration(text.trim());
        if duration.is_none() {
            self.hinted(path, "is not a duration above zero", Some("write `250ms`, `30s`, `1h30m` or `7d`".to_owned()));
        }
        duration
    }

    /// A size above zero, or `default`.
    pub(crate) fn size(&mut self, path: &KeyPath, raw: Option<&str>, default: ByteSize) -> ByteSize {
        let Some(text) = raw else { return default };
        match ByteSize::parse(text.trim()) {
            Some(size) if size.0 > 0 => size,
            _ => {
                self.hinted(
                    path,
                    "is not a size above zero",
                    Some("write `64KiB`, `16MiB`, `1GiB` or bytes".to_owned()),
                );
                default
            }
        }
    }

    /// A whole number in `range`, or `default`.
    pub(crate) fn count<T: TryFrom<i64> + Copy>(
        &mut self,
        path: &KeyPath,
        raw: Option<i64>,
        range: RangeInclusive<i64>,
        default: T,
    ) -> T {
        let Some(number) = raw else { return default };
        match T::try_from(number) {
            Ok(value) if range.contains(&number) => value,
            _ => {
                self.problem(path, format!("must be between {} and {}", range.start(), range.end()));
                default
            }
        }
    }

    /// An absolute http(s) URL with a host and without user, query and fragment; final slashes are dropped.
    pub(crate) fn base_url(&mut self, path: &KeyPath, raw: Option<&str>) -> Option<String> {
        let text = raw?.trim();
        let wrong = match Url::parse(text) {
            Err(_) => "is not an absolute URL",
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "must begin with http:// or https://",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "must not hold a user or password",
            Ok(url) if url.query().is_some() || url.fragment().is_some() => "must have no query and no fragment",
            Ok(_) => return Some(text.trim_end_matches('/').to_owned()),
        };
        self.problem(path, wrong);
        None
    }

    /// An absolute http(s) URL.
    pub(crate) fn http_url(&mut self, path: &KeyPath, text: &str) -> Option<String> {
        let text = text.trim();
        let wrong = match Url::parse(text) {
            Err(_) => "is not an absolute URL",
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "must begin with http:// or https://",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "must not hold a user or password",
            Ok(_) => return Some(text.to_owned()),
        };
        self.problem(path, wrong);
        None
    }

    /// A key that somebody chose as a name.
    pub(crate) fn name(&mut self, path: &KeyPath, name: &str) {
        if name.trim().is_empty() {
            self.problem(path, "the name must not be blank");
        } else if name.trim() != name {
            self.problem(path, "the name must not begin or end with space");
        }
    }

    /// A subject, `kind:id`.
    pub(crate) fn subject(&mut self, path: &KeyPath, text: Option<String>) -> Option<SubjectRef> {
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        match text.map(|text| SubjectRef::parse(&text)) {
            Some(Ok(subject)) => Some(subject),
            None => {
                self.problem(path, "is required: a subject such as `user:<id>` or `service_account:<id>`");
                None
            }
            Some(Err(_)) => {
                let hint = "write `user:<id>`, `service_account:<id>`, or another kind and an id".to_owned();
                self.hinted(path, "is not a subject", Some(hint));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expect) in [
            ("1h30m", Some(Duration::from_secs(5400))),
            ("250ms", Some(Duration::from_millis(250))),
            ("1.5s", Some(Duration::from_millis(1500))),
            (".5h", Some(Duration::from_secs(1800))),
            ("2µs", Some(Duration::from_micros(2))),
            ("30d", Some(Duration::from_secs(30 * 86_400))),
            ("1m1ns", Some(Duration::new(60, 1))),
            ("+1s", Some(Duration::from_secs(1))),
            ("0s", None),
            ("0", None),
            ("-1s", None),
            ("5", None),
            ("", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("1 s", None),
            ("1.5d", None),
            ("1d2h", None),
            ("2h1d", None),
            ("1w", None),
            ("99999999999999999999s", None),
            ("200000d", None),
        ] {
            assert_eq!(parse_duration(text), expect, "{text:?}");
        }
    }
}
