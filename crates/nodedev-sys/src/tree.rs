//! A recorded host held in memory: what a recording's archive unpacks to.

use std::collections::{BTreeMap, VecDeque};
use std::io;

/// Number of links followed before a path counts as a loop, as in the kernel.
const MAX_LINKS: usize = 40;
/// Longest path, and longest target of a link, as in the kernel (`PATH_MAX`).
pub(crate) const MAX_PATH: usize = 4096;
/// Longest name of a file, as in the kernel (`NAME_MAX`).
const MAX_NAME: usize = 255;
/// More folders in each other than any host has: sysfs has some thirty.
const MAX_DEPTH: usize = 128;
/// Bound of the memory that a recorded host takes. A recording of 50,000 devices has some 200 MiB of contents, and as much for
/// names and folders.
const MAX_MEMORY: usize = 1 << 30;
/// What an entry takes beside its name and content, at most: its place, its part of the folder that it is in, and what the
/// allocator adds.
const ENTRY_COST: usize = 160;
/// What a folder takes besides, when there is something in it.
const FOLDER_COST: usize = 300;
/// More than any host needs: a recording of 50,000 devices has about 1.5 million files, folders and links.
const MAX_NODES: usize = 4_000_000;

const THROUGH_A_FILE: Problem = Problem::Bad("a path through a file");

/// Why something does not become a part of a tree.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It cannot be read.
    Io(io::Error),
    /// It is larger than this bound in bytes.
    TooLarge(usize),
    /// It is nothing that a recording has.
    Bad(&'static str),
}

/// One file, folder or link of a recorded host.
#[derive(Debug)]
pub(crate) enum Node {
    Folder(BTreeMap<Box<[u8]>, usize>),
    File(Box<[u8]>),
    Link(Box<[u8]>),
}

impl Node {
    pub(crate) fn folder() -> Self {
        Self::Folder(BTreeMap::new())
    }

    /// The memory that it takes, at most, in bytes.
    fn cost(&self) -> usize {
        ENTRY_COST
            + match self {
                Self::Folder(_) => FOLDER_COST,
                Self::File(content) | Self::Link(content) => content.len(),
            }
    }
}

/// Where an entry is to go: a folder, and the entry's name in it.
struct Place {
    folder: usize,
    name: Box<[u8]>,
}

/// A file tree in memory. Links are followed inside it only: `/` is the tree's top, and `..` there stays there.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// The folder that stands for `/`.
    top: usize,
    /// How much more memory it may take, in bytes.
    room: usize,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::folder()], top: 0, room: MAX_MEMORY }
    }

    /// Makes the folder with a folder `sys` the top, the nearest one to the present top. Says whether there is one. What is
    /// outside of it cannot be reached any more.
    pub(crate) fn enter_host(&mut self) -> bool {
        let mut folders = VecDeque::from([self.top]);
        let mut other = None;
        while let Some(at) = folders.pop_front() {
            let Node::Folder(entries) = &self.nodes[at] else { continue };
            if let Some(&sys) = entries.get(&b"sys"[..]) {
                if self.is_sysfs(sys) {
                    self.top = at;
                    return true;
                }
                other = other.or(Some(at).filter(|at| *at == self.top));
            }
            folders.extend(entries.values().filter(|entry| matches!(self.nodes[**entry], Node::Folder(_))));
        }
        other.is_some()
    }

    /// Whether a folder has what every sysfs has.
    fn is_sysfs(&self, folder: usize) -> bool {
        let Node::Folder(entries) = &self.nodes[folder] else { return false };
        [&b"devices"[..], b"bus", b"class"].iter().any(|name| entries.contains_key(*name))
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Puts `node` at `path`, making the folders above it; a later entry replaces an earlier one. A path through
    /// something that is no folder, with `..` in it, or longer than the kernel's, is refused.
    pub(crate) fn insert(&mut self, path: &[u8], node: Node) -> Result<(), Problem> {
        if matches!(&node, Node::Link(target) if target.len() > MAX_PATH) {
            return Err(Problem::Bad("a link to a path that is too long"));
        }
        let Some(Place { folder, name }) = self.place(path)? else { return Ok(()) };
        // A folder that is already there keeps what is in it.
        if matches!(&node, Node::Folder(_)) && self.is_folder(folder, &name) {
            return Ok(());
        }
        let new = self.nodes.len();
        let Node::Folder(entries) = &mut self.nodes[folder] else { return Err(THROUGH_A_FILE) };
        let length = name.len();
        entries.insert(name, new);
        self.push(node, length)
    }

    fn is_folder(&self, above: usize, name: &[u8]) -> bool {
        let Node::Folder(entries) = &self.nodes[above] else { return false };
        entries.get(name).is_some_and(|&index| matches!(self.nodes[index], Node::Folder(_)))
    }

    /// Gives what is at `target` the further name `path`, as a hard link does. Nothing if only folders, or nothing at
    /// all, are there.
    pub(crate) fn insert_same(&mut self, path: &[u8], target: &[u8]) -> Result<(), Problem> {
        let Some(target) = self.resolve(target, false) else { return Ok(()) };
        if matches!(self.nodes[target], Node::Folder(_)) {
            return Ok(());
        }
        let Some(Place { folder, name }) = self.place(path)? else { return Ok(()) };
        let Node::Folder(entries) = &mut self.nodes[folder] else { return Err(THROUGH_A_FILE) };
        let length = name.len();
        entries.insert(name, target);
        self.take(ENTRY_COST + length)
    }

    /// The folder that `path` is in, which is made if it is missing, and the last component. `None` for the top.
    fn place(&mut self, path: &[u8]) -> Result<Option<Place>, Problem> {
        if path.len() > MAX_PATH {
            return Err(Problem::Bad("a path that is too long"));
        }
        let mut at = self.top;
        let mut depth = 0;
        let mut parts = components(path).peekable();
        while let Some(part) = parts.next() {
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(Problem::Bad("a path through more folders than any host has"));
            }
            if part.len() > MAX_NAME {
                return Err(Problem::Bad("a name that is too long"));
            }
            if part == b".." {
                return Err(Problem::Bad("a path that leaves the recording"));
            }
            if parts.peek().is_none() {
                return Ok(Some(Place { folder: at, name: part.into() }));
            }
            let new = self.nodes.len();
            let Node::Folder(entries) = &mut self.nodes[at] else { return Err(THROUGH_A_FILE) };
            at = match entries.get(part) {
                Some(&index) => index,
                None => {
                    entries.insert(part.into(), new);
                    self.push(Node::folder(), part.len())?;
                    new
                }
            };
        }
        Ok(None)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        self.room = self.room.checked_sub(bytes).ok_or(Problem::TooLarge(MAX_MEMORY))?;
        Ok(())
    }

    fn push(&mut self, node: Node, name: usize) -> Result<(), Problem> {
        self.take(node.cost() + name)?;
        if self.nodes.len() >= MAX_NODES {
            return Err(Problem::Bad("more files than any host has"));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// The entry that `path` leads to from the top. The last component's link is followed if `follow`.
    pub(crate) fn resolve(&self, path: &[u8], follow: bool) -> Option<usize> {
        // The folders from the top down to where we are, for `..`.
        let mut trail = vec![self.top];
        let mut todo: Vec<&[u8]> = components(path).collect();
        todo.reverse();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            let Node::Folder(entries) = &self.nodes[*trail.last()?] else { return None };
            if part == b".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
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
        assert!(tree.insert(b"a/..", Node::folder()).is_err());
        assert!(tree.insert(b"f/x", Node::File(Box::default())).is_err());
        assert!(tree.insert(b"f/x/y", Node::File(Box::default())).is_err());
        let long = "a/".repeat(4000);
        assert!(tree.insert(long.as_bytes(), Node::File(Box::default())).is_err());
        assert!(tree.insert(b"l", Node::Link(long.as_bytes().into())).is_err());
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one_but_not_its_other_names() {
        let mut tree = Tree::new();
        tree.insert(b"a/f", Node::File(b"1"[..].into())).unwrap();
        tree.insert_same(b"b/g", b"a/f").unwrap();
        assert_eq!(file(&tree, "b/g").as_deref(), Some("1"));
        tree.insert(b"a/f", Node::File(b"2"[..].into())).unwrap();
        assert_eq!((file(&tree, "a/f").as_deref(), file(&tree, "b/g").as_deref()), (Some("2"), Some("1")));
        // No folder gets two names, which could make a loop.
        tree.insert_same(b"b/h", b"a").unwrap();
        tree.insert_same(b"b/i", b"nothing").unwrap();
        assert!(tree.resolve(b"b/h", true).is_none() && tree.resolve(b"b/i", true).is_none());
        tree.insert(b"a", Node::folder()).unwrap();
        assert_eq!(file(&tree, "a/f").as_deref(), Some("2"));
    }
}
