//! The variables of a request, as conditions walk through them.

use crate::screen::compile::VARIABLES;

/// An element of a variable: its name within the variable, and its value.
pub(super) type Element<'a> = (&'a [u8], &'a [u8]);

/// The elements of all variables that rules read.
#[derive(Debug)]
pub(super) struct Values<'a> {
    elements: Vec<Element<'a>>,
    /// Where each variable's elements are; `None`: what is in it is not known.
    places: [Option<(usize, usize)>; VARIABLES.len()],
}

impl<'a> Values<'a> {
    /// None of any variable is known.
    pub(super) fn new() -> Self {
        Self { elements: Vec::new(), places: [None; VARIABLES.len()] }
    }

    /// Sets the elements of a variable.
    pub(super) fn set(&mut self, variable: usize, elements: impl IntoIterator<Item = Element<'a>>) {
        let start = self.elements.len();
        self.elements.extend(elements);
        if let Some(place) = self.places.get_mut(variable) {
            *place = Some((start, self.elements.len()));
        }
    }

    /// The elements of a variable; `None`: what is in it is not known.
    pub(super) fn get(&self, variable: usize) -> Option<&[Element<'a>]> {
        let (start, end) = self.places.get(variable).copied().flatten()?;
        self.elements.get(start..end)
    }
}
