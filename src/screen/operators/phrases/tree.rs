//! The automaton that both engines search phrases with. It is one of Aho and Corasick's but for one thing: from a state it
//! falls back to the state that its parent's fallback leads to, or to the root, and looks no further. So it misses some
//! phrases, and an operator with a `!` matches where it does.

use crate::rules::version::EngineVersion;

/// The root's number.
const ROOT: u32 = 0;

#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Letters and the nodes that they lead to, by letter.
    children: Vec<(u16, u32)>,
    fallback: u32,
    /// A phrase ends here.
    is_last: bool,
    /// A phrase ends at one of the fallbacks.
    has_other: bool,
}

impl Tree {
    /// The tree of these phrases, none of them empty.
    pub(super) fn new(phrases: &[Vec<u8>], version: EngineVersion) -> Self {
        let mut tree = Self { nodes: vec![Node::default()] };
        for phrase in phrases {
            let mut at = ROOT;
            for &byte in phrase {
                at = tree.child_or_new(at, letter_of_phrase(byte, version));
            }
            if let (Some(node), false) = (tree.node_mut(at), phrase.is_empty()) {
                node.is_last = true;
            }
        }
        tree.connect();
        tree
    }

    /// Whether the engine finds a phrase in `value`.
    pub(super) fn finds(&self, value: &[u8]) -> bool {
        let mut at = ROOT;
        for &byte in value {
            let letter = u16::from(byte.to_ascii_lowercase());
            loop {
                match self.child(at, letter) {
                    Some(child) => {
                        at = child;
                        if self.node(at).is_some_and(|node| node.is_last) {
                            return true;
                        }
                        break;
                    }
                    None if at == ROOT => break,
                    None => at = self.fallback(at),
                }
            }
            if self.node(at).is_some_and(|node| node.has_other) {
                return true;
            }
        }
        false
    }

    /// Sets the fallbacks, level by level, and after that which of them end a phrase.
    fn connect(&mut self) {
        let mut level = self.children(ROOT);
        let mut order = Vec::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for &(parent, letter, child) in &level {
                if parent != ROOT {
                    let fallback = self.child(self.fallback(parent), letter).unwrap_or(ROOT);
                    if let Some(node) = self.node_mut(child) {
                        node.fallback = fallback;
                    }
                }
                order.push(child);
                next.extend(self.children(child));
            }
            level = next;
        }
        for node in order {
            let mut other = self.fallback(node);
            while other != ROOT && !self.node(other).is_some_and(|node| node.is_last) {
                other = self.fallback(other);
            }
            if let Some(node) = self.node_mut(node) {
                node.has_other = other != ROOT;
            }
        }
    }

    fn children(&self, parent: u32) -> Vec<(u32, u16, u32)> {
        let children = self.node(parent).map(|node| node.children.as_slice()).unwrap_or_default();
        children.iter().map(|&(letter, child)| (parent, letter, child)).collect()
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)
    }

    fn fallback(&self, at: u32) -> u32 {
        self.node(at).map_or(ROOT, |node| node.fallback)
    }

    fn child(&self, at: u32, letter: u16) -> Option<u32> {
        let children = &self.node(at)?.children;
        let place = children.binary_search_by_key(&letter, |(letter, _)| *letter).ok()?;
        children.get(place).map(|(_, child)| *child)
    }

    fn child_or_new(&mut self, at: u32, letter: u16) -> u32 {
        let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let Some(node) = self.node_mut(at) else { return ROOT };
        match node.children.binary_search_by_key(&letter, |(letter, _)| *letter) {
            Ok(place) => node.children.get(place).map_or(ROOT, |(_, child)| *child),
            Err(place) => {
                node.children.insert(place, (letter, new));
                self.nodes.push(Node::default());
                new
            }
        }
    }
}

/// libmodsecurity 3 takes a phrase's byte 255 for the end of a file, which no value has.
fn letter_of_phrase(byte: u8, version: EngineVersion) -> u16 {
    match (version, byte) {
        (EngineVersion::V3, 0xFF) => u16::MAX,
        _ => u16::from(byte.to_ascii_lowercase()),
    }
}
