//! Texts that look like hosts, most of them on purpose wrong.

/// A small generator of numbers (SplitMix64): the same seed, the same texts, on every machine.
pub(crate) struct Random(u64);

/// Names and addresses to start from. The first ones are on the wire test's list.
const SEEDS: [&str; 24] = [
    "allowed.test",
    "a.wild.test",
    "x.y.wild.test",
    "wild.test",
    "127.0.0.77",
    "localhost",
    "evil.test",
    "evilwild.test",
    "allowed.test.evil.test",
    "xn--bcher-kva.example",
    "b\u{fc}cher.example",
    "xn--a",
    "127.0.0.1",
    "169.254.169.254",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "127.1",
    "1.2.3.4.5",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::1%25.wild.test]",
    "[fe80::1%eth0]",
    "[2606:4700::1111]",
];

/// Paths to start from.
const PATHS: [&str; 14] = [
    "",
    "/",
    "?",
    "?q=1",
    "/a?b#c",
    "#f",
    "*",
    "a",
    "//evil.test/x",
    "http://evil.test/",
    "/../a/./b",
    "/a b",
    "/\u{fc}?\u{20ac}",
    "/%00%2f",
];

/// Characters that end a host for somebody, or look like one that does.
const CHARACTERS: [&str; 40] = [
    ".",
    "..",
    "%",
    "%00",
    "%2e",
    "%2E",
    "%61",
    "@",
    ":",
    "/",
    "\\",
    "#",
    "?",
    "[",
    "]",
    "*",
    "\0",
    " ",
    "\t",
    "\r",
    "\n",
    "_",
    "-",
    "0",
    "0x",
    "x",
    "\u{3002}",
    "\u{ff0e}",
    "\u{ff61}",
    "\u{430}",
    "\u{200d}",
    "\u{ad}",
    "\u{212a}",
    "\u{17f}",
    "\u{df}",
    "\u{1f4a9}",
    "&",
    ";",
    "'",
    "$",
];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A text in the place of a host.
    pub(crate) fn host(&mut self) -> String {
        let mut text = if self.below(8) == 0 { self.labels() } else { self.pick(&SEEDS).to_owned() };
        for _ in 0..self.below(4) {
            text = self.mutate(&text);
        }
        text
    }

    /// A text in the place of a path and query.
    pub(crate) fn path(&mut self) -> String {
        let mut text = self.pick(&PATHS).to_owned();
        for _ in 0..self.below(3) {
            let at = self.boundary(&text);
            let (before, after) = text.split_at(at);
            text = format!("{before}{}{after}", self.pick(&CHARACTERS));
        }
        text
    }

    /// A text in the place of an entry.
    pub(crate) fn entry(&mut self) -> String {
        let host = self.host();
        if self.below(2) == 0 { host } else { format!("*.{host}") }
    }

    /// Labels of a small alphabet, so that two of them are often alike.
    fn labels(&mut self) -> String {
        let label =
            |random: &mut Self| (0..=random.below(3)).map(|_| random.pick(&["a", "b", "0", "x", "-", "_"])).collect();
        (0..=self.below(4)).map(|_| label(self)).collect::<Vec<String>>().join(".")
    }

    fn mutate(&mut self, text: &str) -> String {
        let at = self.boundary(text);
        let (before, after) = text.split_at(at);
        match self.below(9) {
            0 => format!("{before}{}{after}", self.pick(&CHARACTERS)),
            1 => {
                format!("{text}{}", self.pick(&[".", "..", ".wild.test", ":80", ":+80", ":", ":0", "%", ".evil.test"]))
            }
            2 => format!("{}{text}", self.pick(&["u@", "u:p@", ".", "a.", "//", "*.", "0.", "[", "\\"])),
            3 => self.recase(text),
            4 => self.escape(text),
            5 => after.to_owned(),
            6 => before.to_owned(),
            7 => format!("{before}{}", self.pick(&SEEDS)),
            _ => self.number(),
        }
    }

    fn boundary(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn recase(&mut self, text: &str) -> String {
        text.chars().map(|c| if self.below(2) == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
    }

    fn escape(&mut self, text: &str) -> String {
        let chosen = self.below(text.len() + 1);
        let escaped = text.bytes().enumerate().map(|(i, b)| match i == chosen {
            true => format!("%{b:02x}"),
            false => char::from(b).to_string(),
        });
        escaped.collect()
    }

    /// An IPv4 address in some spelling.
    fn number(&mut self) -> String {
        let ip = if self.below(2) == 0 { 0x7f00_0001 } else { self.next() as u32 };
        let [a, b, c, d] = ip.to_be_bytes();
        match self.below(8) {
            0 => format!("{ip}"),
            1 => format!("{ip:#x}"),
            2 => format!("0{ip:o}"),
            3 => format!("{a}.{}", ip & 0x00ff_ffff),
            4 => format!("{a}.{b}.{}", u16::from_be_bytes([c, d])),
            5 => format!("{a:#x}.{b}.0{c:o}.{d}"),
            6 => format!("{a:03}.{b:03}.{c:03}.{d:03}"),
            _ => format!("{a}.{b}.{c}.{d}"),
        }
    }

    /// Ways of writing `host`, some of which are its own and some of which are not to be understood.
    pub(crate) fn spellings(&mut self, host: &str) -> Vec<String> {
        let recased = self.recase(host);
        let dotted = format!("{host}.");
        vec![
            host.to_owned(),
            self.recase(&dotted),
            format!("{recased}:8080"),
            self.escape(host),
            host.replace('.', "\u{3002}"),
            host.replacen('.', "%2e", 1),
            dotted,
            recased,
        ]
    }
}
