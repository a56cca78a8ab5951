//! `TX` during the evaluation of the rules for all requests at once.

use std::collections::{BTreeMap, BTreeSet};

use super::ir::{Piece, Selector, Template};
use super::readers::may_match_beginning;

/// The variables of `TX` at one place of the configuration. A name that is not in it is absent for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tx {
    names: BTreeMap<String, Known>,
    /// Beginnings of names of which the rest depends on the request: each name that begins so may be there.
    prefixes: Vec<String>,
}

/// What is known of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has this value for every request.
    Text(String),
    /// It may be there or not: with one of these values, or with one that a rule writes for a request.
    Maybe(BTreeSet<String>),
}

impl Known {
    /// All values that do not depend on the request.
    pub(super) fn values(self) -> BTreeSet<String> {
        match self {
            Self::Text(text) => BTreeSet::from([text]),
            Self::Maybe(values) => values,
        }
    }
}

impl Tx {
    /// What is known of this variable; `None`: it is absent for every request.
    pub(super) fn get(&self, name: &str) -> Option<Known> {
        let name = name.to_ascii_lowercase();
        let known = self.names.get(&name).cloned();
        match self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())) {
            true => Some(Known::Maybe(known.map(Known::values).unwrap_or_default())),
            false => known,
        }
    }

    /// All that may be there.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.names.iter().map(|(name, known)| (name.as_str(), known))
    }

    /// Whether a name that begins like one of the beginnings may be selected.
    pub(super) fn has_prefix(&self, selector: &Selector) -> bool {
        self.prefixes.iter().any(|prefix| match selector {
            Selector::Pattern(pattern) => may_match_beginning(pattern, prefix),
            _ => true,
        })
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.names.insert(name.to_ascii_lowercase(), Known::Text(value));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.names.remove(&name.to_ascii_lowercase());
    }

    /// It may be written.
    pub(super) fn blur(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let values = self.names.remove(&name).map(Known::values).unwrap_or_default();
        self.names.insert(name, Known::Maybe(values));
    }

    /// Names that begin like this may be written.
    pub(super) fn blur_prefix(&mut self, prefix: &str) {
        let prefix = prefix.to_ascii_lowercase();
        if !self.prefixes.contains(&prefix) {
            self.prefixes.push(prefix);
        }
    }

    /// What is known where two ways meet.
    pub(super) fn join(&mut self, other: &Self) {
        let mut names: Vec<String> = self.names.keys().chain(other.names.keys()).cloned().collect();
        names.dedup();
        for name in names {
            let (own, others) = (self.names.get(&name), other.names.get(&name));
            if own != others {
                let values = own.into_iter().chain(others).cloned().flat_map(Known::values).collect();
                self.names.insert(name, Known::Maybe(values));
            }
        }
        other.prefixes.iter().for_each(|prefix| self.blur_prefix(prefix));
    }

    /// The text with what is the same for every request in place of its macros. `is_written` says which variables an earlier
    /// link of the same chain writes.
    pub(super) fn expand(&self, text: &str, is_written: &dyn Fn(&str) -> bool) -> Template {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut push = |piece: Piece| match (pieces.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
            (_, piece) => pieces.push(piece),
        };
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("%{") {
            let Some((name, after)) = behind.split_once('}') else { break };
            push(Piece::Text(before.to_owned()));
            push(self.piece(name, is_written));
            rest = after;
        }
        push(Piece::Text(rest.to_owned()));
        if pieces.len() > 1 {
            pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        }
        Template(pieces)
    }

    fn piece(&self, name: &str, is_written: &dyn Fn(&str) -> bool) -> Piece {
        let name = name.to_ascii_lowercase();
        match name.split_once(['.', ':']) {
            Some(("tx", key)) if is_written(key) => Piece::Tx(key.to_owned()),
            Some(("tx", key)) => match (group(key), self.get(key)) {
                (Some(group), _) => Piece::Capture(group),
                (None, None) => Piece::Text(String::new()),
                (None, Some(Known::Text(text))) => Piece::Text(text),
                (None, Some(Known::Maybe(_))) => Piece::Tx(key.to_owned()),
            },
            Some(("request_headers", key)) => Piece::Header(key.to_owned()),
            None if name == "matched_var" => Piece::MatchedVar,
            None if name == "matched_var_name" => Piece::MatchedVarName,
            _ => Piece::Unknown,
        }
    }
}

/// The group that `TX:0` to `TX:9` name.
pub(super) fn group(key: &str) -> Option<usize> {
    key.parse().ok().filter(|_| key.len() == 1)
}
