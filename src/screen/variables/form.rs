//! Arguments in the form `name=value&…`, of queries and bodies.

use memchr::{memchr, memchr2};

use super::room::{Flag, Origin};
use super::{HandOver, Variables, request_line};
use crate::screen::transformations::hex;

impl Variables<'_> {
    pub(super) fn read_query(&mut self) -> Result<(), HandOver> {
        let request = self.request;
        if let (_, Some(query)) = request_line::split(&request.uri, self.version) {
            self.read_form(query, Origin::Query)?;
        }
        Ok(())
    }

    /// Adds the arguments of a form. One that is empty counts, except behind the last separator.
    pub(super) fn read_form(&mut self, form: &[u8], origin: Origin) -> Result<(), HandOver> {
        if form.is_empty() {
            return Ok(());
        }
        let separator = self.limits.argument_separator;
        let form = form.strip_suffix(&[separator]).unwrap_or(form);
        for pair in form.split(|&byte| byte == separator) {
            let split = memchr(b'=', pair).and_then(|at| pair.split_at_checked(at));
            let (name, value) =
                split.map_or((pair, &[][..]), |(name, value)| (name, value.get(1..).unwrap_or_default()));
            let name = self.decoded(name)?;
            let value = self.decoded(value)?;
            self.room.push(origin, name, value);
        }
        self.check_arguments()
    }

    fn decoded(&mut self, text: &[u8]) -> Result<super::Span, HandOver> {
        let mut is_valid = true;
        let span = self.room.add(|out| is_valid = decode(text, out))?;
        if !is_valid {
            self.room.raise(Flag::UrlEncodedError);
        }
        Ok(span)
    }
}

/// Decodes `%xx` and `+`; an invalid escape stays. Returns whether all were valid.
fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    let mut is_valid = true;
    while let Some((before, from)) = memchr2(b'%', b'+', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        rest = match from {
            [b'+', tail @ ..] => {
                out.push(b' ');
                tail
            }
            &[_, high, low, ref tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex::byte(high, low));
                tail
            }
            _ => {
                is_valid = false;
                out.push(b'%');
                from.get(1..).unwrap_or_default()
            }
        };
    }
    out.extend_from_slice(rest);
    is_valid
}
