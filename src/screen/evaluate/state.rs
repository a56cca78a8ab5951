//! What rules write in `TX` for one request: all that they may write, as it is not known which of them match.

use std::collections::BTreeMap;

/// A variable that may be there.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// In lower case.
    pub(super) name: Vec<u8>,
    /// The name is longer, and how is not known.
    pub(super) is_beginning: bool,
    pub(super) value: EntryValue,
}

/// What may be in it.
#[derive(Clone, Debug)]
pub(super) enum EntryValue {
    Text(Vec<u8>),
    /// This is added to what is there.
    Sum(i64),
    /// Anything, or it may be gone.
    Unknown,
}

/// What a read may find.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These values, of this many variables; or none of them.
    Values { values: Vec<Vec<u8>>, most: usize },
    /// Anything.
    Unknown,
}

/// What a read of the variables that `selects` picks may find. `always` are those of earlier rules.
pub(super) fn read<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    always: &[(String, String)],
    selects: &mut dyn FnMut(&[u8], bool) -> bool,
) -> Found {
    let mut values: BTreeMap<Vec<u8>, Vec<EntryValue>> = BTreeMap::new();
    for (name, value) in always {
        let value = EntryValue::Text(value.clone().into_bytes());
        values.entry(name.clone().into_bytes()).or_default().push(value);
    }
    let mut beginnings = 0;
    for entry in entries {
        if selects(&entry.name, entry.is_beginning) {
            beginnings += usize::from(entry.is_beginning);
            values.entry(entry.name.clone()).or_default().push(entry.value.clone());
        }
    }
    let most = values.len() + beginnings;
    let mut all = Vec::new();
    for of_one in values.into_values() {
        let (mut sum, mut has_text) = (0_i64, false);
        let mut sums = Vec::new();
        for value in of_one {
            match value {
                EntryValue::Unknown => return Found::Unknown,
                EntryValue::Text(text) => {
                    has_text = true;
                    all.push(text);
                }
                EntryValue::Sum(more) => {
                    sum = sum.saturating_add(more);
                    sums.push(sum);
                }
            }
        }
        // What is added to a text, or in another order, is not followed.
        let steps = sums
            .windows(2)
            .all(|pair| matches!(pair, [one, two] if two - one == *sums.first().unwrap_or(&0)));
        if !sums.is_empty() && (has_text || !steps) {
            return Found::Unknown;
        }
        all.extend(sums.into_iter().map(|sum| sum.to_string().into_bytes()));
    }
    Found::Values { values: all, most }
}
