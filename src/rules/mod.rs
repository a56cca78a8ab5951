//! Rule files before an engine has them: where they are, and what is in them as each version of ModSecurity reads them.

pub mod check;
pub mod directives;
pub mod sources;
pub mod version;
