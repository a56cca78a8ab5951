//! Reads the directives of configuration files without an engine, to check that the engine has every rule of the files.
//!
//! An engine may lose rules silently. ModSecurity 2 ends a file at a line that does not fit in its buffer; ModSecurity 3
//! takes a rule for a part of a comment when an empty line is between the two and the comment ends with a backslash. So the
//! rules in the files are compared with those in the engine ([`compare`]).
//!
//! Errors here are about files that cannot be read. What is wrong with a directive is found by [`check`](crate::rules::check), or by
//! the engine.

pub(crate) mod actions;
mod compare;
mod include;
mod lines;
pub mod needs;
mod rules;
pub(crate) mod targets;
pub(crate) mod words;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use compare::remaining;
pub use compare::{Counts, Missing, compare};
pub use rules::Rule;
use words::words;

use crate::rules::progress;
use crate::rules::version::EngineVersion;

/// The greatest depth to which files may include one another.
const MAX_DEPTH: usize = 100;

/// A place in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the name of a built-in text.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A directive of a configuration file.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The first line of the directive.
    pub place: Place,
    /// The name as it is written; engines ignore its case.
    pub name: String,
    /// The text behind the name, continued lines joined.
    pub arguments: String,
}

impl Directive {
    /// The first word of the arguments, without quotes around it; empty without arguments.
    #[must_use]
    pub fn first_word(&self, version: EngineVersion) -> String {
        self.words(version).into_iter().next().map(|word| word.as_read_by(version)).unwrap_or_default()
    }

    /// The words of its arguments, as this engine reads them.
    pub(crate) fn words(&self, version: EngineVersion) -> Vec<words::Word> {
        words(&self.name, &self.arguments, version)
    }
}

/// Why files cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// A file cannot be opened or read.
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
        /// The `Include` that names the file; `None` for a file that the operator names.
        included: Option<Place>,
    },
    /// An `Include` names no file.
    NoFile {
        /// The place of the `Include`.
        place: Place,
        /// The file name or pattern behind the `Include`.
        pattern: String,
    },
    /// A line has a zero byte, at which the engine would silently stop reading.
    ZeroByte(Place),
    /// Files include one another more than 100 levels deep, most likely in a circle.
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

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { cause, .. } => Some(cause),
            Self::NoFile { .. } | Self::ZeroByte(_) | Self::TooDeep(_) => None,
        }
    }
}

/// The directives of all files, in the order in which the engine comes to them.
#[derive(Debug)]
pub struct Directives {
    /// The engine that is to load the files: the versions differ in comments, `Include`, and how rules are removed.
    version: EngineVersion,
    directives: Vec<Directive>,
    files: Vec<Arc<Path>>,
}

impl Directives {
    /// Returns an empty list, to be filled as the engine of this `version` reads files.
    #[must_use]
    pub fn new(version: EngineVersion) -> Self {
        Self { version, directives: Vec::new(), files: Vec::new() }
    }

    /// Adds the directives of a text; errors call the text `name`.
    ///
    /// # Errors
    /// When the text has a zero byte, or a file that it includes cannot be read.
    pub fn add(&mut self, text: impl AsRef<[u8]>, name: &str) -> Result<(), ReadError> {
        self.add_content(text.as_ref(), &Arc::from(Path::new(name)), 0)
    }

    /// Adds the directives of a file and of the files that it includes.
    ///
    /// # Errors
    /// When one of the files cannot be read, or has a zero byte.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ReadError> {
        self.add_included(path, None, 0)
    }

    fn add_included(&mut self, path: &Path, at: Option<&Place>, depth: usize) -> Result<(), ReadError> {
        let failed = |cause| ReadError::File { path: path.to_owned(), cause, included: at.cloned() };
        progress::begin(path.display());
        if fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo()) {
            let cause = "it is a FIFO, which cannot be read twice: here and by the engine";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, cause)));
        }
        let content = fs::read(path).map_err(failed)?;
        let file = Arc::from(path);
        self.files.push(Arc::clone(&file));
        self.add_content(&content, &file, depth)
    }

    fn add_content(&mut self, content: &[u8], file: &Arc<Path>, depth: usize) -> Result<(), ReadError> {
        for line in lines::directives(content, self.version) {
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
        let pattern = words("Include", what, self.version).first().map(words::Word::text).unwrap_or_default();
        let files = include::files(&pattern, &at.file, self.version);
        if files.is_empty() && !(is_optional && include::is_wildcard(&pattern)) {
            return Err(ReadError::NoFile { place: at.clone(), pattern });
        }
        files.iter().try_for_each(|path| self.add_included(path, Some(at), depth))
    }

    /// Which engine is to read them.
    #[must_use]
    pub fn version(&self) -> EngineVersion {
        self.version
    }

    /// The files that were read, once for each time.
    #[must_use]
    pub fn files(&self) -> &[Arc<Path>] {
        &self.files
    }

    /// All directives. In place of each `Include` stand the directives of the included files.
    #[must_use]
    pub fn all(&self) -> &[Directive] {
        &self.directives
    }

    /// The rules among the directives, each link of a chain as a rule of its own. A `SecMarker` is not a rule.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule<'_>> {
        rules::rules(&self.directives, self.version)
    }
}
