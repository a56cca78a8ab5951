//! The directives of configuration files, read without an engine: so that it can be known whether the engine has what the
//! files say.
//!
//! An engine may lose rules without a word. ModSecurity 2 ends a file at a line that does not fit in its buffer; ModSecurity
//! 3 takes a rule for a part of a comment when an empty line is between the two and the comment ends with a backslash.
//! So the rules in the files are compared with those in the engine ([`compare`]).
//!
//! What is wrong with a directive the engine says; here only files are missed.

mod compare;
mod include;
mod lines;
pub mod needs;
mod rules;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use compare::{Counts, Missing, compare};
pub use rules::Rule;
use rules::words;

use crate::rules::version::EngineVersion;

/// Files that include one another may do so to this depth.
const MAX_DEPTH: usize = 100;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or what it stands for.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One directive.
#[derive(Clone, Debug)]
pub struct Directive {
    /// Its first line.
    pub place: Place,
    /// Its name as it is written; engines do not tell capitals from small letters.
    pub name: String,
    /// What follows the name, continued lines joined.
    pub arguments: String,
}

/// Why files cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// A file cannot be opened, or not be read to its end.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
        /// Where it is included, if it is.
        included: Option<Place>,
    },
    /// An `Include` names no file.
    NoFile {
        /// The directive.
        place: Place,
        /// What it names.
        pattern: String,
    },
    /// There is a zero byte, where the engine would silently end.
    ZeroByte(Place),
    /// Files include one another too deeply: themselves, most likely.
    TooDeep(Place),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause, included } => {
                write!(f, "cannot read {}: {cause}", path.display())?;
                included.iter().try_for_each(|place| write!(f, " (included at {place})"))
            }
            Self::NoFile { place, pattern } => write!(f, "{place}: there is no {pattern} to include"),
            Self::ZeroByte(place) => {
                write!(f, "{place}: zero byte; the engine would silently leave out what follows")
            }
            Self::TooDeep(place) => write!(f, "{place}: files include one another over {MAX_DEPTH} times"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The directives of all files, in the order in which the engine comes to them.
#[derive(Debug)]
pub struct Directives {
    /// Which engine is to read the files: they differ in comments, `Include`, and how rules are removed.
    version: EngineVersion,
    directives: Vec<Directive>,
}

impl Directives {
    /// None yet.
    #[must_use]
    pub fn new(version: EngineVersion) -> Self {
        Self { version, directives: Vec::new() }
    }

    /// Adds those of a text; `name` stands for the file's.
    pub fn add(&mut self, text: &str, name: &str) -> Result<(), ReadError> {
        self.add_content(text.as_bytes(), &Arc::from(Path::new(name)), 0)
    }

    /// Adds those of a file and of those that it includes.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ReadError> {
        self.add_included(path, None, 0)
    }

    fn add_included(&mut self, path: &Path, at: Option<&Place>, depth: usize) -> Result<(), ReadError> {
        let failed = |cause| ReadError::File { path: path.to_owned(), cause, included: at.cloned() };
        let content = fs::read(path).map_err(failed)?;
        self.add_content(&content, &Arc::from(path), depth)
    }

    fn add_content(&mut self, content: &[u8], file: &Arc<Path>, depth: usize) -> Result<(), ReadError> {
        for line in lines::lines(content, self.version) {
            let place = Place { file: Arc::clone(file), line: line.number };
            if line.text.contains('\0') {
                return Err(ReadError::ZeroByte(place));
            }
            let (name, arguments) =
                line.text.split_once(|char: char| char.is_ascii_whitespace()).unwrap_or((&line.text, ""));
            let is = |directive: &str| name.eq_ignore_ascii_case(directive);
            let is_optional = is("IncludeOptional") && self.version == EngineVersion::V2;
            if is("Include") || is_optional {
                self.include(arguments, &place, is_optional, depth + 1)?;
            } else if !name.is_empty() {
                let arguments = arguments.trim_start().to_owned();
                self.directives.push(Directive { place, name: name.to_owned(), arguments });
            }
        }
        Ok(())
    }

    fn include(&mut self, what: &str, at: &Place, is_optional: bool, depth: usize) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::TooDeep(at.clone()));
        }
        let pattern = words(what).into_iter().next().unwrap_or_default();
        let files = include::files(&pattern, &at.file, self.version);
        if files.is_empty() && !(is_optional && include::is_wildcard(&pattern)) {
            return Err(ReadError::NoFile { place: at.clone(), pattern });
        }
        files.iter().try_for_each(|path| self.add_included(path, Some(at), depth))
    }

    /// All of them. An `Include` is not among them, but what it includes.
    #[must_use]
    pub fn all(&self) -> &[Directive] {
        &self.directives
    }

    /// The rules among them, each link of a chain for itself. A `SecMarker` is none.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule<'_>> {
        rules::rules(&self.directives, self.version)
    }
}
