//! Values that operators are likely to match: made from their arguments, and changed a little.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::super::random::rng::Rng;

/// Bytes that a made text has at most.
const LENGTH: usize = 400;

/// A text of a language, without regard to what stands around it.
pub fn text_of(language: &Hir, rng: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    append(language, rng, &mut text);
    text
}

fn append(language: &Hir, rng: &mut Rng, text: &mut Vec<u8>) {
    match language.kind() {
        HirKind::Empty => {}
        // What makes it true or false at random.
        HirKind::Look(_) => {
            if rng.one_in(4) {
                text.extend(rng.pick(&[&b" "[..], b"\n", b"a", b"_", b"-", b"\r\n", b"\0"]));
            }
        }
        HirKind::Literal(literal) => text.extend(literal.0.iter()),
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges();
            if ranges.is_empty() {
                return;
            }
            let range = ranges[rng.below(ranges.len())];
            // The ends of ranges are where mistakes are.
            let byte = match rng.below(4) {
                0 => range.start(),
                1 => range.end(),
                _ => rng.within(usize::from(range.start()), usize::from(range.end())) as u8,
            };
            text.push(byte);
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            text.extend(ranges[rng.below(ranges.len())].start().to_string().as_bytes());
        }
        HirKind::Repetition(repetition) => {
            let min = repetition.min as usize;
            let max = repetition.max.map_or(min + 3, |max| max as usize);
            let times = match rng.below(8) {
                0 => max.min(min + 40),
                1 => max.min(min + 10),
                _ => rng.within(min, max.min(min + 2)),
            };
            for _ in 0..times {
                if text.len() < LENGTH || text.len() < min {
                    append(&repetition.sub, rng, text);
                }
            }
        }
        HirKind::Capture(capture) => append(&capture.sub, rng, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| append(part, rng, text)),
        HirKind::Alternation(parts) => append(&parts[rng.below(parts.len())], rng, text),
    }
}

/// The text in some case, with something around it.
pub fn dressed(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    const AROUND: [&[u8]; 16] = [
        b" ",
        b"\n",
        b"a",
        b"Z9",
        b"_",
        b"=",
        b"'",
        b"\x85",
        b"\x00",
        b"\xe2\x80\x98",
        b"/",
        b"..",
        b"<",
        b";",
        b"\r\n",
        b"x y",
    ];
    let mut value = Vec::new();
    if rng.one_in(3) {
        value.extend(rng.pick(&AROUND));
    }
    match rng.below(4) {
        0 => value.extend(text.iter().map(u8::to_ascii_uppercase)),
        1 => value.extend(text.iter().map(
            |&byte| {
                if rng.one_in(2) { byte.to_ascii_uppercase() } else { byte }
            },
        )),
        _ => value.extend(text),
    }
    if rng.one_in(3) {
        value.extend(rng.pick(&AROUND));
    }
    value
}

/// The value with a few bytes changed, dropped, doubled or put in.
pub fn mutated(value: &[u8], rng: &mut Rng) -> Vec<u8> {
    const BYTES: &[u8] = b"\0\t\n\x0b\x0c\r \"#%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\x85\xa0\xc2\xff";
    let mut value = value.to_vec();
    for _ in 0..rng.within(1, 3) {
        let place = rng.below(value.len() + 1);
        let byte = BYTES[rng.below(BYTES.len())];
        match rng.below(6) {
            0 => value.insert(place, byte),
            1 if place < value.len() => {
                value.remove(place);
            }
            2 if place < value.len() => value.insert(place, value[place]),
            3 => value.truncate(place),
            4 if place < value.len() => value[place] ^= 0x20,
            _ if place < value.len() => value[place] = byte,
            _ => value.push(byte),
        }
    }
    value
}
