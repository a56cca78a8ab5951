//! Literals of which every text of a language has at least one: a value without any of them cannot match.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Literals of one set; a larger one says nothing.
const MOST: usize = 16384;
/// The most literals that follow from several small sets in a row.
const PRODUCT: usize = 128;
/// Members of a class that is taken apart into literals.
const MEMBERS: usize = 12;
/// Bytes of a literal that are searched for; of a longer one, the rarest window of this length.
const WINDOW: usize = 8;

/// A set of literals, and how often one of them is likely to stand at a given place of a clean value.
#[derive(Clone, Debug, PartialEq)]
pub struct Literals {
    /// The literals, none of them empty.
    pub literals: Vec<Vec<u8>>,
    /// The estimated share of places, from 0.
    pub frequency: f64,
}

impl Literals {
    /// These literals, cut to their rarest windows; `None` if there are too many or one of them is empty.
    #[must_use]
    pub fn new(literals: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let mut literals: Vec<Vec<u8>> =
            literals.into_iter().map(|literal| rarest_window(&literal)).collect();
        literals.sort_unstable();
        literals.dedup();
        if literals.is_empty() || literals.len() > MOST || literals.first().is_some_and(Vec::is_empty) {
            return None;
        }
        if literals.len() <= 256 {
            let all = literals.clone();
            literals.retain(|literal| {
                !all.iter().any(|other| other.len() < literal.len() && contains(literal, other))
            });
        }
        let frequency = literals.iter().map(|literal| share(literal)).sum();
        Some(Self { literals, frequency })
    }

    /// The rarest set that the language requires; `None` when there is none.
    #[must_use]
    pub fn required_by(language: &Hir) -> Option<Self> {
        Factor::of(language).into_required()
    }

    fn rarer(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.frequency < one.frequency { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}

/// What is known of the texts of a language.
struct Factor {
    /// All of its texts, when they are few.
    exact: Option<Vec<Vec<u8>>>,
    /// A set that it requires, when all texts are not known.
    required: Option<Literals>,
}

impl Factor {
    fn unknown() -> Self {
        Self { exact: None, required: None }
    }

    fn exactly(texts: Vec<Vec<u8>>) -> Self {
        Self { exact: Some(texts), required: None }
    }

    fn into_required(self) -> Option<Literals> {
        self.exact.map_or(self.required, Literals::new)
    }

    fn of(language: &Hir) -> Self {
        match language.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exactly(vec![Vec::new()]),
            HirKind::Literal(literal) => Self::exactly(vec![literal.0.to_vec()]),
            HirKind::Class(Class::Bytes(class)) => {
                let bytes = class.iter().flat_map(|range| range.start()..=range.end());
                let texts: Vec<Vec<u8>> = bytes.take(MEMBERS + 1).map(|byte| vec![byte]).collect();
                if texts.len() > MEMBERS { Self::unknown() } else { Self::exactly(texts) }
            }
            // regex-syntax makes it from alternatives that are one character each.
            HirKind::Class(Class::Unicode(class)) => {
                let chars = class.iter().flat_map(|range| range.start()..=range.end());
                let texts: Vec<Vec<u8>> =
                    chars.take(MEMBERS + 1).map(|char| char.to_string().into_bytes()).collect();
                if texts.len() > MEMBERS { Self::unknown() } else { Self::exactly(texts) }
            }
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) => match (repetition.min, repetition.max) {
                (0, Some(1)) => match Self::of(&repetition.sub).exact {
                    Some(mut texts) => {
                        texts.push(Vec::new());
                        Self::exactly(texts)
                    }
                    None => Self::unknown(),
                },
                (0, _) => Self::unknown(),
                (1, Some(1)) => Self::of(&repetition.sub),
                _ => Self { exact: None, required: Self::of(&repetition.sub).into_required() },
            },
            HirKind::Alternation(alternatives) => Self::of_alternatives(alternatives),
            HirKind::Concat(parts) => Self::of_sequence(parts),
        }
    }

    fn of_alternatives(alternatives: &[Hir]) -> Self {
        let factors: Vec<Self> = alternatives.iter().map(Self::of).collect();
        if factors.iter().all(|factor| factor.exact.is_some()) {
            let texts: Vec<Vec<u8>> =
                factors.into_iter().filter_map(|factor| factor.exact).flatten().collect();
            return if texts.len() > MOST { Self::unknown() } else { Self::exactly(texts) };
        }
        let mut all = Vec::new();
        for factor in factors {
            match factor.into_required() {
                Some(set) => all.extend(set.literals),
                None => return Self::unknown(),
            }
        }
        Self { exact: None, required: Literals::new(all) }
    }

    /// The rarest set of those that runs of known parts make, and of those that single parts require.
    fn of_sequence(parts: &[Hir]) -> Self {
        let mut best = None;
        let mut run = vec![Vec::new()];
        let mut is_exact = true;
        for part in parts {
            let factor = Self::of(part);
            let is_repeated = matches!(part.kind(), HirKind::Repetition(repetition) if repetition.min > 0);
            let once = match part.kind() {
                HirKind::Repetition(repetition) if repetition.min > 0 => Self::of(&repetition.sub).exact,
                _ => None,
            };
            match (factor.exact, once) {
                (Some(texts), _) => {
                    if let Some(longer) = product(&run, &texts) {
                        run = longer;
                        continue;
                    }
                    is_exact = false;
                    best = Literals::rarer(best, Literals::new(run));
                    run = texts;
                }
                // One or more: what stands before is followed by one, what stands behind comes after one.
                (None, Some(texts)) if is_repeated => {
                    is_exact = false;
                    let longer = product(&run, &texts);
                    best = Literals::rarer(best, Literals::new(longer.unwrap_or(run)));
                    run = texts;
                }
                (None, _) => {
                    is_exact = false;
                    best = Literals::rarer(best, factor.required);
                    best = Literals::rarer(best, Literals::new(run));
                    run = vec![Vec::new()];
                }
            }
        }
        if is_exact {
            return Self::exactly(run);
        }
        Self { exact: None, required: Literals::rarer(best, Literals::new(run)) }
    }
}

/// Each text of `starts` with each of `ends` behind it; `None` when these are too many.
fn product(starts: &[Vec<u8>], ends: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if starts.len().saturating_mul(ends.len()) > PRODUCT.max(starts.len()).max(ends.len()) {
        return None;
    }
    Some(
        starts
            .iter()
            .flat_map(|start| ends.iter().map(move |end| [start.as_slice(), end].concat()))
            .collect(),
    )
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn rarest_window(literal: &[u8]) -> Vec<u8> {
    let windows = literal.windows(WINDOW.min(literal.len()).max(1));
    windows.min_by(|one, other| share(one).total_cmp(&share(other))).unwrap_or_default().to_vec()
}

/// The estimated share of places in clean values where these bytes stand.
fn share(literal: &[u8]) -> f64 {
    literal.iter().map(|&byte| frequency(byte)).product()
}

/// How often a byte is likely to be in a clean value, capitals being small. Estimated; only speed depends on it.
pub(super) fn frequency(byte: u8) -> f64 {
    match byte {
        b'e' | b'a' | b'i' | b'o' | b'n' | b't' | b's' | b'r' => 0.06,
        b'l' | b'c' | b'd' | b'm' | b'p' | b'u' | b'h' => 0.03,
        b'a'..=b'z' => 0.015,
        b' ' => 0.05,
        b'0'..=b'9' => 0.02,
        b'-' | b'.' | b'/' | b'_' | b'=' | b',' | b';' | b':' | b'&' | b'%' | b'+' => 0.01,
        b'(' | b')' | b'"' | b'\'' | b'?' | b'*' | b'!' | b'@' | b'#' => 0.004,
        0x80.. => 0.02,
        b'\r' | b'\n' => 0.003,
        _ => 0.001,
    }
}
