//! How the screen takes part (`--screen`, `--screen-sample`).

/// What the screen's findings are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenMode {
    /// There is no screen.
    Off,
    /// The engine inspects every request, and its verdict is compared with the screen's finding.
    Shadow,
    /// A request that is proven clean is not inspected by the engine, a sample excepted.
    On,
}

impl ScreenMode {
    /// All, by the names that `--screen` takes.
    pub const NAMES: [(&str, Self); 3] = [("off", Self::Off), ("shadow", Self::Shadow), ("on", Self::On)];

    /// The name that `--screen` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::On => "on",
        }
    }

    /// The mode with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }
}

/// How the screen takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screening {
    /// What its findings are used for.
    pub mode: ScreenMode,
    /// One in this many requests that are proven clean is inspected by the engine as well, to be compared.
    pub sample: u32,
}

impl Screening {
    /// No screen.
    pub const OFF: Self = Self { mode: ScreenMode::Off, sample: 256 };
}
