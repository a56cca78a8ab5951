//! Rule files before an engine loads them: where they are, and which directives each version of ModSecurity reads there.

pub mod check;
pub mod directives;
pub mod files;
pub mod progress;
pub mod sources;
pub mod version;
pub mod warnings;
