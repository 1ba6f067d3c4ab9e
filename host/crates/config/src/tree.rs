//! What a file says, as a tree in which every key and value knows where it was written.

use crate::path::{KeyPath, Step};
use crate::source::Span;
use indexmap::IndexMap;
use serde_json::{Number, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) tree: Tree,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Null,
    /// A boolean or number, with its spelling: where text is wanted, `1.10` means `1.10`.
    Bool(bool, Box<str>),
    /// See [`Tree::Bool`].
    Number(Number, Box<str>),
    Text(String),
    List(Vec<Node>),
    Map(Map),
    /// `secret: {…}`, whose inside has not been read yet.
    Reference(Box<Node>),
    /// `secret: {provider, name}`: text that a secrets provider will supply.
    Secret {
        provider: String,
        name: String,
    },
    /// Something already reported: reads as if it was not there, and nothing more is said about it.
    Reported,
}

/// Keys in the order of the file.
pub(crate) type Map = IndexMap<String, Entry>;

/// A key's place, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Span,
    pub(crate) node: Node,
}

/// What stands at a path.
pub(crate) struct Found<'a> {
    /// The last key or item on the way that is there.
    pub(crate) span: Span,
    /// The value, when the whole path is there.
    pub(crate) node: Option<&'a Node>,
    /// Whether something on the way has been reported already.
    pub(crate) reported: bool,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn map(&self) -> Option<&Map> {
        match &self.tree {
            Tree::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.tree {
            Tree::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value under `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key).map(|entry| &entry.node)
    }

    /// The value at `path`.
    pub(crate) fn at_mut(&mut self, path: &[Step]) -> Option<&mut Node> {
        path.iter().try_fold(self, |node, step| match (&mut node.tree, step) {
            (Tree::Map(map), Step::Key(key)) => map.get_mut(key).map(|entry| &mut entry.node),
            (Tree::List(list), Step::Index(index)) => list.get_mut(*index),
            _ => None,
        })
    }

    /// What stands at `path`, or the nearest thing above it.
    pub(crate) fn find(&self, path: &KeyPath) -> Found<'_> {
        let mut found = Found { span: self.span, node: Some(self), reported: false };
        for step in &path.0 {
            let Some(node) = found.node else { break };
            found.reported |= matches!(node.tree, Tree::Reported);
            found.node = match (&node.tree, step) {
                (Tree::Map(map), Step::Key(key)) => map.get(key).map(|entry| {
                    found.span = entry.key;
                    &entry.node
                }),
                (Tree::List(list), Step::Index(index)) => list.get(*index).inspect(|item| found.span = item.span),
                _ => None,
            };
        }
        found.reported |= found.node.is_some_and(|node| matches!(node.tree, Tree::Reported));
        found
    }

    /// The JSON value this is. A secret that is still to be supplied reads as empty text.
    pub(crate) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Null | Tree::Reported => Value::Null,
            Tree::Bool(value, _) => Value::Bool(*value),
            Tree::Number(number, _) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::Reference(_) | Tree::Secret { .. } => Value::String(String::new()),
            Tree::List(list) => Value::Array(list.iter().map(Self::to_value).collect()),
            Tree::Map(map) => {
                let kept = map.iter().filter(|(_, entry)| !matches!(entry.node.tree, Tree::Reported));
                Value::Object(kept.map(|(key, entry)| (key.clone(), entry.node.to_value())).collect())
            }
        }
    }

    /// Nothing, or a map or list of nothing.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.tree {
            Tree::Null => true,
            Tree::Map(map) => map.is_empty(),
            Tree::List(list) => list.is_empty(),
            _ => false,
        }
    }

    /// Visits every node below and including this one, parents first.
    pub(crate) fn walk<'a>(&'a self, path: &mut KeyPath, visit: &mut impl FnMut(&KeyPath, &'a Node)) {
        visit(path, self);
        match &self.tree {
            Tree::Map(map) => {
                for (key, entry) in map {
                    path.0.push(Step::Key(key.clone()));
                    entry.node.walk(path, visit);
                    path.0.pop();
                }
            }
            Tree::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    path.0.push(Step::Index(index));
                    item.walk(path, visit);
                    path.0.pop();
                }
            }
            _ => {}
        }
    }

    /// Lays `overlay` over this node: maps merge key by key, a null deletes its key, everything else replaces.
    pub(crate) fn merge(&mut self, overlay: Node) {
        match (&mut self.tree, overlay) {
            (_, Node { tree: Tree::Null, .. }) => {}
            (Tree::Map(base), Node { tree: Tree::Map(over), .. }) => {
                for (key, entry) in over {
                    if matches!(entry.node.tree, Tree::Null) {
                        base.shift_remove(&key);
                        continue;
                    }
                    match base.get_mut(&key) {
                        Some(old) => {
                            old.key = entry.key;
                            old.node.merge(entry.node);
                        }
                        None => {
                            base.insert(key, entry);
                        }
                    }
                }
            }
            (Tree::Reference(base), Node { tree: Tree::Reference(over), span }) => {
                base.merge(*over);
                self.span = span;
            }
            (_, other) => *self = other,
        }
    }
}

/// Paths to look for, written `apps.*.env`; `*` stands for any one step.
pub(crate) struct Patterns(Vec<Vec<&'static str>>);

impl Patterns {
    pub(crate) fn new(patterns: impl IntoIterator<Item = &'static str>) -> Self {
        Self(patterns.into_iter().map(|pattern| pattern.split('.').collect()).collect())
    }

    /// Visits every node at one of the paths, with the number of its pattern and the place of its key.
    pub(crate) fn visit<'a>(&self, root: &'a Node, visit: &mut impl FnMut(usize, &KeyPath, Span, &'a Node)) {
        let all: Vec<usize> = (0..self.0.len()).collect();
        self.below(root, 0, &all, &mut KeyPath::default(), visit);
    }

    fn below<'a>(
        &self,
        node: &'a Node,
        depth: usize,
        active: &[usize],
        path: &mut KeyPath,
        visit: &mut impl FnMut(usize, &KeyPath, Span, &'a Node),
    ) {
        let mut step = |step: Step, span: Span, node: &'a Node| {
            let fits = |pattern: &&usize| match (self.0[**pattern].get(depth), &step) {
                (Some(&"*"), _) => true,
                (Some(want), Step::Key(key)) => want == key,
                _ => false,
            };
            let on: Vec<usize> = active.iter().filter(fits).copied().collect();
            if on.is_empty() {
                return;
            }
            path.0.push(step);
            for &pattern in on.iter().filter(|pattern| self.0[**pattern].len() == depth + 1) {
                visit(pattern, path, span, node);
            }
            self.below(node, depth + 1, &on, path, visit);
            path.0.pop();
        };
        match &node.tree {
            Tree::Map(map) => map.iter().for_each(|(key, entry)| step(Step::Key(key.clone()), entry.key, &entry.node)),
            Tree::List(list) => list.iter().enumerate().for_each(|(i, item)| step(Step::Index(i), item.span, item)),
            _ => {}
        }
    }
}
