//! Which known name was meant by one that is not known.

/// The known name that differs in the fewest letters, if these are few; capitals do not count.
pub(crate) fn closest(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let most = (name.chars().count() / 3).clamp(1, 3);
    // Nobody types a name of such length by mistake.
    if name.len() > 64 {
        return None;
    }
    let near = known.into_iter().map(|known| (distance(&name, &known.to_ascii_lowercase()), known));
    near.filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters are to be changed, added, left out, or swapped with the next.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&above, column) + usize::from(letter != other))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            let is_swapped = row > 0
                && column > 0
                && from.get(row - 1) == Some(other)
                && to.get(column - 1) == Some(letter);
            if is_swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_few_letters_is_meant() {
        let known = ["contains", "containsWord", "rx", "pm", "ge", "gt", "streq"];
        for (name, meant) in [
            ("contanis", Some("contains")),
            ("CONTAINSWORDS", Some("containsWord")),
            ("strqe", Some("streq")),
            ("rgx", Some("rx")),
            ("regex", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(closest(name, known), meant, "{name}");
        }
    }

    #[test]
    fn distances() {
        for (from, to, expected) in [("", "", 0), ("ab", "ba", 1), ("abc", "", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
