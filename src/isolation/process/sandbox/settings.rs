//! What the operator decides about the sandbox, and how the zygote is told.

use std::fmt;

use nix::unistd::{Gid, Uid, User};

/// What the operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Engines are confined.
    pub is_on: bool,
    /// Whose processes they are.
    pub user: EngineUser,
}

/// Whose processes engines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineUser {
    /// The agent's own user's.
    Own,
    /// This user's, if the rules' folders allow.
    Default(Ids),
    /// This user's.
    Chosen(Ids),
}

/// A user and a group, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user.
    pub user: Uid,
    /// The group.
    pub group: Gid,
}

impl Ids {
    /// The user of this name or number, with the group that belongs to it.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let number = name.parse().ok();
        let user = match number {
            Some(number) => User::from_uid(Uid::from_raw(number)),
            None => User::from_name(name),
        };
        match (user.ok().flatten(), number) {
            (Some(user), _) => Some(Self { user: user.uid, group: user.gid }),
            (None, Some(number)) => Some(Self { user: Uid::from_raw(number), group: Gid::from_raw(number) }),
            (None, None) => None,
        }
    }

    /// Nobody's.
    #[must_use]
    pub fn of_nobody() -> Self {
        let overflow = Self { user: Uid::from_raw(65534), group: Gid::from_raw(65534) };
        Self::find("nobody").unwrap_or(overflow)
    }
}

/// The name, or the number of a user without one.
impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match User::from_uid(self.user) {
            Ok(Some(user)) => f.write_str(&user.name),
            _ => self.user.fmt(f),
        }
    }
}

impl SandboxSettings {
    /// No sandbox.
    pub const OFF: Self = Self { is_on: false, user: EngineUser::Own };

    /// The argument that tells a zygote.
    pub(in crate::isolation::process) fn to_argument(self) -> String {
        let (word, ids) = match (self.is_on, self.user) {
            (false, _) => return "off".to_owned(),
            (true, EngineUser::Own) => return "own".to_owned(),
            (true, EngineUser::Default(ids)) => ("default", ids),
            (true, EngineUser::Chosen(ids)) => ("chosen", ids),
        };
        format!("{word}:{}:{}", ids.user, ids.group)
    }

    /// What such an argument tells.
    pub(in crate::isolation::process) fn of_argument(argument: &str) -> Option<Self> {
        let mut parts = argument.split(':');
        let word = parts.next()?;
        let mut ids = || {
            let mut number = || parts.next()?.parse().ok();
            Some(Ids { user: Uid::from_raw(number()?), group: Gid::from_raw(number()?) })
        };
        Some(match word {
            "off" => Self::OFF,
            "own" => Self { is_on: true, user: EngineUser::Own },
            "default" => Self { is_on: true, user: EngineUser::Default(ids()?) },
            "chosen" => Self { is_on: true, user: EngineUser::Chosen(ids()?) },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back() {
        let ids = Ids { user: Uid::from_raw(7), group: Gid::from_raw(8) };
        for user in [EngineUser::Own, EngineUser::Default(ids), EngineUser::Chosen(ids)] {
            let settings = SandboxSettings { is_on: true, user };
            assert_eq!(SandboxSettings::of_argument(&settings.to_argument()), Some(settings));
        }
        assert_eq!(
            SandboxSettings::of_argument(&SandboxSettings::OFF.to_argument()),
            Some(SandboxSettings::OFF)
        );
        assert_eq!(SandboxSettings::of_argument("chosen:1"), None);
    }

    #[test]
    fn users_have_names_and_numbers() {
        let root = Ids { user: Uid::from_raw(0), group: Gid::from_raw(0) };
        assert_eq!((Ids::find("root"), Ids::find("0")), (Some(root), Some(root)));
        assert_eq!(root.to_string(), "root");
        let nameless = Ids { user: Uid::from_raw(4_000_000), group: Gid::from_raw(4_000_000) };
        assert_eq!((Ids::find("4000000"), nameless.to_string().as_str()), (Some(nameless), "4000000"));
        assert_eq!(Ids::find("there is no such user"), None);
    }
}
