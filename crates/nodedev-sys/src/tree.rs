//! A recorded host held in memory: what a recording's archive unpacks to.

use std::collections::BTreeMap;

/// Number of links followed before a path counts as a loop, as in the kernel.
const MAX_LINKS: usize = 40;

/// One file, folder or link of a recorded host.
#[derive(Debug)]
pub(crate) enum Node {
    Folder(BTreeMap<Box<[u8]>, usize>),
    File(Box<[u8]>),
    Link(Box<[u8]>),
}

/// A file tree in memory. Links are followed inside it only: `/` is the tree's top, and `..` there stays there.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The top folder.
    const TOP: usize = 0;

    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::Folder(BTreeMap::new())] }
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Puts `node` at `path`, making the folders above it; a later entry replaces an earlier one. A path through
    /// something that is no folder, or with `..` in it, is refused.
    pub(crate) fn insert(&mut self, path: &[u8], node: Node) -> Result<(), &'static str> {
        let mut at = Self::TOP;
        let mut parts = components(path).peekable();
        while let Some(part) = parts.next() {
            if part == b".." {
                return Err("a path that leaves the recording");
            }
            let next = self.nodes.len();
            let last = parts.peek().is_none();
            let Node::Folder(entries) = &mut self.nodes[at] else { return Err("a path through a file") };
            match entries.get(part) {
                Some(&index) if last => {
                    // A folder that is already there keeps what is in it.
                    if !matches!((&node, &self.nodes[index]), (Node::Folder(_), Node::Folder(_))) {
                        self.nodes[index] = node;
                    }
                    return Ok(());
                }
                Some(&index) => at = index,
                None => {
                    entries.insert(part.into(), next);
                    if last {
                        self.nodes.push(node);
                        return Ok(());
                    }
                    self.nodes.push(Node::Folder(BTreeMap::new()));
                    at = next;
                }
            }
        }
        Ok(())
    }

    /// The entry that `path` leads to from the top. The last component's link is followed if `follow`.
    pub(crate) fn resolve(&self, path: &[u8], follow: bool) -> Option<usize> {
        // The folders from the top down to where we are, for `..`.
        let mut trail = vec![Self::TOP];
        let mut todo: Vec<&[u8]> = components(path).collect();
        todo.reverse();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let Node::Folder(entries) = &self.nodes[*trail.last()?] else { return None };
            let &next = entries.get(part)?;
            match &self.nodes[next] {
                Node::Link(target) if follow || !todo.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        trail.truncate(1);
                    }
                    let from = todo.len();
                    todo.extend(components(target));
                    todo[from..].reverse();
                }
                _ => trail.push(next),
            }
        }
        trail.last().copied()
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

#[cfg(test)]
mod tests {
    use super::{Node, Tree};

    fn file(tree: &Tree, path: &str) -> Option<String> {
        match tree.node(tree.resolve(path.as_bytes(), true)?) {
            Node::File(content) => Some(String::from_utf8_lossy(content).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let mut tree = Tree::new();
        for (path, node) in [
            ("a/b/file", Node::File(b"x"[..].into())),
            ("a/up", Node::Link(b"../../../../a/b"[..].into())),
            ("abs", Node::Link(b"/a/b/file"[..].into())),
            ("loop", Node::Link(b"loop"[..].into())),
            ("dangling", Node::Link(b"nowhere"[..].into())),
        ] {
            tree.insert(path.as_bytes(), node).unwrap();
        }
        assert_eq!(file(&tree, "/a/up/file").as_deref(), Some("x"));
        assert_eq!(file(&tree, "abs").as_deref(), Some("x"));
        assert_eq!(file(&tree, "a/./b/../b/file").as_deref(), Some("x"));
        assert_eq!(file(&tree, "loop"), None);
        assert_eq!(file(&tree, "dangling"), None);
        assert_eq!(file(&tree, "a/b/file/x"), None);
        assert!(matches!(tree.node(tree.resolve(b"abs", false).unwrap()), Node::Link(_)));
    }

    #[test]
    fn entries_outside_the_tree_or_below_a_file_are_refused() {
        let mut tree = Tree::new();
        tree.insert(b"f", Node::File(Box::default())).unwrap();
        assert!(tree.insert(b"../x", Node::File(Box::default())).is_err());
        assert!(tree.insert(b"f/x", Node::File(Box::default())).is_err());
    }
}
