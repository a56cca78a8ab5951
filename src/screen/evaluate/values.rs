//! The variables of a request, as conditions walk through them.

use crate::screen::compile::VARIABLES;
use crate::screen::variables::{Collection, Member, Scalar, Variables};

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

    /// Sets all that `used` names, by their numbers, from the variables of a request. `addresses` are the client's address and
    /// port, and the server's port, as texts.
    pub(super) fn fill(&mut self, used: &[usize], variables: &'a Variables<'_>, addresses: &'a [String; 3]) {
        for &number in used {
            let Some(name) = VARIABLES.get(number) else { continue };
            let [client, client_port, server_port] = addresses;
            let text = match *name {
                "REMOTE_ADDR" => Some(client),
                "REMOTE_PORT" => Some(client_port),
                "SERVER_PORT" => Some(server_port),
                _ => None,
            };
            if let Some(text) = text {
                self.set(number, [(&b""[..], text.as_bytes())]);
            } else if *name == "XML" {
                // A body that is XML is handed over.
                self.set(number, []);
            } else if let Some(scalar) = Scalar::from_name(name) {
                self.set(number, variables.scalar(scalar).map(|value| (&b""[..], value)));
            } else if let Some((collection, is_names)) = Collection::from_name(name) {
                let members = variables.members(collection);
                // Which of the two is the name of a file differs between the engines.
                let has_both = *name == "FILES_NAMES";
                let elements = members.flat_map(|Member { name, value }| {
                    let named = (name, if is_names { name } else { value });
                    std::iter::once(named).chain(has_both.then_some((name, value)))
                });
                self.set(number, elements);
            }
        }
    }

    /// The elements of a variable; `None`: what is in it is not known.
    pub(super) fn get(&self, variable: usize) -> Option<&[Element<'a>]> {
        let (start, end) = self.places.get(variable).copied().flatten()?;
        self.elements.get(start..end)
    }
}
