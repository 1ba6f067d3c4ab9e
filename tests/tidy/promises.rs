use super::sources::files;
use super::{assert_none, root};
use std::fs;

/// The page that says what the sandbox promises.
const PAGE: &str = "docs/sandbox.md";

/// The head of a table of promises.
const HEAD: &str = "| promise | held by |\n|---|---|\n";

/// Sections that have promises, and how many at least: what is taken out is missed.
const SECTIONS: [(&str, usize); 7] = [
    ("Components", 18),
    ("Freshness of slots", 1),
    ("Native processes", 19),
    ("Builds of packages", 5),
    ("The public door", 3),
    ("Words of others", 1),
    ("What an overlay or a reload widens", 1),
];

/// A newcomer's page is read to its end, or not at all.
const README_BYTES: usize = 8 << 10;

/// Every promise names the tests that hold it, and those tests exist.
#[test]
fn every_promise_is_held_by_a_test() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let tests: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, text)| path.contains("tests") || text.contains("#[cfg(test)]"))
        .map(|(_, text)| text)
        .collect();
    let is_there = |name: &str| tests.iter().any(|text| text.contains(&format!("fn {name}(")));
    let mut findings = Vec::new();
    for (section, least) in SECTIONS {
        let heading = format!("\n## {section}\n");
        let text = page.split_once(&heading).unwrap_or_else(|| panic!("{PAGE} has no section {section:?}")).1;
        let text = text.split("\n## ").next().unwrap();
        let promises: Vec<&str> =
            text.split(HEAD).skip(1).flat_map(|table| table.split("\n\n").next().unwrap().lines()).collect();
        assert!(promises.len() >= least, "{section}: {} promises were found", promises.len());
        for row in promises {
            let held_by = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
            let names: Vec<_> = held_by.split('`').skip(1).step_by(2).collect();
            if names.is_empty() {
                findings.push(format!("nothing holds this promise: {row}"));
            }
            let missing = names.into_iter().filter(|name| !is_there(name));
            findings.extend(missing.map(|name| format!("there is no test {name}: {row}")));
        }
    }
    assert_none(PAGE, findings);
}

/// Links between the pages lead to pages and headings that are there.
#[test]
fn pages_lead_to_pages() {
    let pages = files(&[".md"]).into_iter().filter(|(path, _)| path == "README.md" || path.starts_with("docs/"));
    let (mut findings, mut links) = (Vec::new(), 0);
    for (path, text) in pages {
        let beside = root().join(&path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let to = if file.is_empty() { beside.clone() } else { beside.with_file_name(file) };
            let there = fs::read_to_string(&to).unwrap_or_default();
            let has = |heading: &str| there.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            if !to.is_file() || !(heading.is_empty() || has(heading)) {
                findings.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(links >= 20, "{links} links were found");
    assert_none("links that lead nowhere", findings);
}

/// How a heading is called in a link.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_first_page_is_short() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(page.len() <= README_BYTES, "README.md has {} bytes: what is looked up belongs into docs/", page.len());
}
