use super::root;
use super::sources::files;
use std::fs;

/// The section of the README that says what the sandbox promises.
const HEADING: &str = "## What the sandbox promises, and what it does not";

/// Every promise names the tests that hold it, and those tests exist.
#[test]
fn every_promise_is_held_by_a_test() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let section = page.split_once(HEADING).expect("the section is there").1;
    let table = section.split_once("| promise | held by |\n").expect("the table is there").1;
    let table = table.split("\n\n").next().unwrap();
    let tests: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(path, text)| path.contains("tests") || text.contains("#[cfg(test)]"))
        .map(|(_, text)| text)
        .collect();
    let mut promises = 0;
    for row in table.lines().filter(|line| !line.starts_with("|---")) {
        let held_by = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let names: Vec<_> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing holds this promise: {row}");
        for name in names {
            let function = format!("fn {name}(");
            assert!(tests.iter().any(|text| text.contains(&function)), "there is no test {name}: {row}");
        }
        promises += 1;
    }
    assert!(promises >= 10, "{promises} promises were found");
    // Rows named elsewhere in the section, which says of native processes what the table says of components.
    let section = section.split("\n## ").next().unwrap();
    let is_row =
        |name: &&str| name.len() == 3 && name.starts_with('n') && name[1..].bytes().all(|b| b.is_ascii_digit());
    let rows: Vec<_> = section.split('`').skip(1).step_by(2).filter(is_row).collect();
    assert!(rows.len() >= 19, "{rows:?}");
    for name in rows {
        assert!(tests.iter().any(|text| text.contains(&format!("fn {name}("))), "there is no row {name}");
    }
}
