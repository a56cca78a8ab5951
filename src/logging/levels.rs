//! Which records a target takes: by level, and by the module that logs.

use slog::Level;

/// The parts of the program that `--log-level` can name: the rooms of the program and the crate `actors`.
const MODULES: [&str; 14] = [
    "actors",
    "admin",
    "agent",
    "commands",
    "daemon",
    "ffi",
    "isolation",
    "logging",
    "message",
    "modsecurity",
    "rules",
    "screen",
    "settings",
    "tuning",
];

/// The least important level that is logged, and exceptions for modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    default: Level,
    /// The longest names first.
    modules: Vec<(String, Level)>,
}

impl Levels {
    /// All records up to this level.
    #[must_use]
    pub fn new(default: Level) -> Self {
        Self { default, modules: Vec::new() }
    }

    /// Reads `LEVEL[,MODULE=LEVEL...]`.
    ///
    /// # Errors
    /// What cannot be understood, in words for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut default, mut modules) = (None, Vec::new());
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                Some((module, level)) => {
                    let room = module.split("::").next().unwrap_or_default();
                    if !MODULES.contains(&room) {
                        return Err(format!("there is no module {module:?}, but {}", MODULES.join(", ")));
                    }
                    modules.push((module.to_owned(), parse_level(level)?));
                }
                None if default.is_none() && modules.is_empty() => default = Some(parse_level(part)?),
                None => return Err(format!("{part:?} is not MODULE=LEVEL")),
            }
        }
        modules.sort_by_key(|(module, _)| std::cmp::Reverse(module.len()));
        Ok(Self { default: default.unwrap_or(Level::Info), modules })
    }

    /// Whether a record of this module is logged.
    pub(super) fn admit(&self, level: Level, module: &str) -> bool {
        let named = self.modules.iter().find(|(name, _)| {
            module.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        level.is_at_least(named.map_or(self.default, |(_, level)| *level))
    }
}

/// Reads `error`, `warn`, `info` or `debug`.
///
/// # Errors
/// When `text` is no level, in words for the operator.
pub fn parse_level(text: &str) -> Result<Level, String> {
    match text {
        "error" => Ok(Level::Error),
        "warn" | "warning" => Ok(Level::Warning),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        _ => Err(format!("{text:?} is not a level (error, warn, info, debug)")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_longest_name_of_a_module_counts() {
        let levels = Levels::parse("warn, actors=debug,actors::pool=error").unwrap();
        for (module, level, admitted) in [
            ("agent", Level::Warning, true),
            ("agent", Level::Info, false),
            ("actors", Level::Debug, true),
            ("actors::connection", Level::Debug, true),
            ("actors::pool", Level::Warning, false),
            ("actors::pool", Level::Error, true),
            ("actorsaurus", Level::Info, false),
        ] {
            assert_eq!(levels.admit(level, module), admitted, "{module} {level}");
        }
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for bad in ["", "loud", "info,loud", "info,nobody=debug", "agent=", "agent=debug,info", "info,info"] {
            assert!(Levels::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Levels::parse("agent=debug").unwrap().default, Level::Info);
    }

    #[test]
    fn every_room_of_the_program_can_be_named() {
        let rooms = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
        let rooms = rooms.map(|room| room.unwrap().path());
        let rooms: BTreeSet<_> =
            rooms.filter(|room| room.is_dir()).map(|room| room.file_name().unwrap().to_owned()).collect();
        let unknown: Vec<_> =
            rooms.iter().filter(|room| !MODULES.contains(&room.to_str().unwrap())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
