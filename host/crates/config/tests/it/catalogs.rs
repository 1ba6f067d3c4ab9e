use crate::fixture::check;
use gestalt_config::read_catalog;
use std::path::Path;

#[test]
fn catalogs() {
    check("catalog", |fixture| {
        let text = std::fs::read_to_string(fixture.env.dir.join("main.yaml")).unwrap();
        let catalog = read_catalog(&text, Path::new("catalog.yaml")).map_err(|problems| problems.to_string())?;
        Ok(format!("{catalog:#?}"))
    });
}

#[test]
fn bounds() {
    let origin = Path::new("catalog.yaml");
    let many: String = (0..10_001).map(|i| format!("- id: o{i}\n")).collect();
    let problems = read_catalog(&format!("operations:\n{many}"), origin).unwrap_err();
    assert!(problems.to_string().contains("more than 10000 operations"), "{problems}");
    let long = format!("operations: [{{id: a}}]\n#{}", "x".repeat(16 << 20));
    assert!(read_catalog(&long, origin).unwrap_err().to_string().contains("larger than 16 MiB"));
}
