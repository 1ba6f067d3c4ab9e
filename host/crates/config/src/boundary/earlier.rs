//! The deployment that the first files alone would be.

use crate::deployment::Deployment;
use crate::env::Mode;
use crate::load::Assembly;
use crate::path::{KeyPath, Step};
use crate::source::{Finding, Sources, Span};
use crate::tree::{Entry, Node, Patterns, Tree};
use std::path::Path;
use std::sync::LazyLock;

/// What makes an entry one: it may come from a later file than what it restricts.
static MAKES: LazyLock<Patterns> = LazyLock::new(|| {
    let makes = ["apps.*.source", "providers.*.*.source", "runtime.providers.*.driver", "runtime.providers.*.source"];
    Patterns::new(makes)
});

/// Values that are put aside before a layer is given up.
const MOST: usize = 256;

/// What the first files alone say, which is `layer`, as far as it can be understood. They need not be complete: what makes
/// an entry of theirs one is taken from `whole`, and what is wrong with them by themselves is nobody's mistake.
pub(crate) fn deployment(mut layer: Node, whole: &Node, sources: &Sources, home: &Path) -> Option<Deployment> {
    crate::secrets::settle(&mut layer, &mut KeyPath::default(), &mut Vec::new());
    let mut lent = Vec::new();
    MAKES.visit(whole, &mut |_, path, _, node| lent.push((path.clone(), node.clone())));
    lent.into_iter().for_each(|(path, node)| lend(&mut layer, &path, node));
    // A value that is to come from the environment may be in the place of a number.
    for _ in 0..MOST {
        let (sources, mut findings) = (sources.clone(), Vec::new());
        let assembly = Assembly { sources, findings: Vec::new(), warnings: Vec::new(), mode: Mode::Lenient, home };
        match assembly.understood(layer.clone(), &mut findings) {
            Some(deployment) => return Some(deployment),
            None => put_aside(&mut layer, &findings)?,
        }
    }
    None
}

/// Puts `node` at `path` into an entry that is there. Which package an entry is, is not compared; whether a runtime is
/// built in is, so what a layer says about that stays.
fn lend(layer: &mut Node, path: &KeyPath, node: Node) {
    let [above @ .., Step::Key(key)] = path.0.as_slice() else { return };
    let Some(map) = layer.at_mut(above).and_then(Node::map_mut) else { return };
    let has = |key: &str| map.get(key).is_some_and(|entry| !matches!(entry.node.tree, Tree::Null));
    let settled = if key == "driver" { has("driver") || has("source") } else { has("driver") };
    if !settled {
        map.insert(key.clone(), Entry { key: Span::default(), node });
    }
}

/// Takes out the values that could not be read.
fn put_aside(layer: &mut Node, findings: &[Finding]) -> Option<()> {
    let mut taken = None;
    for finding in findings {
        if let Some(node) = layer.at_mut(&finding.path.0).filter(|node| !matches!(node.tree, Tree::Null)) {
            node.tree = Tree::Null;
            taken = Some(());
        }
    }
    taken
}
