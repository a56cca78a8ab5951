//! Why the screen is off for a set of rules.

use std::fmt;

use crate::rules::directives::Place;

/// The reason why no request is proven with a set of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Off {
    /// The directive that is in the way; `None` where it is not one alone.
    pub place: Option<Place>,
    /// What is in the way.
    pub cause: String,
}

impl Off {
    pub(crate) fn at(place: &Place, cause: impl Into<String>) -> Self {
        Self { place: Some(place.clone()), cause: cause.into() }
    }

    pub(crate) fn new(cause: impl Into<String>) -> Self {
        Self { place: None, cause: cause.into() }
    }
}

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

impl std::error::Error for Off {}
