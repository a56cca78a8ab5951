//! What rules need of the operating system while requests are inspected, besides memory and the files that are opened while
//! the rules are loaded. The sandbox of engine processes leaves them this much, and no more.

use std::path::PathBuf;

use super::actions::actions;
use super::{Directive, Directives, Place};
use crate::rules::version::EngineVersion;

/// The service whose lists are asked only with a key (`SecHttpBlKey`); the Core Rule Set names it without one.
const LIST_WITH_KEY: &str = "httpbl.org";

/// Bytes of the longest body that comes in one message.
const LONGEST_BODY: u64 = 16 << 20;

/// What rules need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Folders in which files are made, written and removed.
    pub folders: Vec<Folder>,
    /// Folders of files that are read with each request: schemas, and what they include.
    pub read: Vec<PathBuf>,
    /// What asks servers for something while a request waits.
    pub network: Option<Cause>,
    /// What runs programs, or code that may call any function of the system's.
    pub programs: Option<Cause>,
}

/// A folder that engines write in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What is kept in it.
    pub content: Content,
}

/// What engines keep in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Records of an audit log, each in a file of its own, in folders by day.
    AuditRecords,
    /// Collections that persist.
    Collections,
    /// Bodies and uploaded files.
    Bodies,
}

/// What in the rules asks for more than most do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The operator, action or directive.
    pub what: &'static str,
    /// The directive with it.
    pub place: Place,
}

impl Needs {
    /// What these directives need.
    #[must_use]
    pub fn of(directives: &Directives) -> Self {
        let mut needs = Self::default();
        let all = directives.all();
        let has_key = all.iter().any(|directive| directive.name.eq_ignore_ascii_case("SecHttpBlKey"));
        // The last word counts, as in the engine.
        let (mut records, mut is_concurrent) = (None, false);
        let (mut collections, mut uploads) = (None, None);
        let mut temporary = Temporary::default();
        for directive in all {
            let words = directive.words(directives.version);
            let words: Vec<_> = words.iter().map(|word| word.as_read_by(directives.version)).collect();
            let first = words.first().map(String::as_str).unwrap_or_default();
            let folder = || Some(PathBuf::from(first)).filter(|path| path.is_absolute());
            match directive.name.to_ascii_lowercase().as_str() {
                "secauditlogstoragedir" => records = folder(),
                "secauditlogtype" => {
                    let is = |name: &str| first.eq_ignore_ascii_case(name);
                    is_concurrent = is("Concurrent") || is("Parallel");
                    // libcurl runs threads, and reads certificates.
                    if is("HTTPS") {
                        needs.runs_programs("SecAuditLogType HTTPS", directive);
                    }
                }
                "secdatadir" => collections = folder(),
                "sectmpdir" => temporary.folder = Some(folder()),
                "secrequestbodyaccess" => temporary.has_bodies |= first.eq_ignore_ascii_case("On"),
                "secrequestbodyinmemorylimit" => temporary.in_memory = first.parse().unwrap_or(0),
                "secuploadkeepfiles" => temporary.has_uploads = !first.eq_ignore_ascii_case("Off"),
                "secuploaddir" => uploads = folder(),
                "secrulescript" => needs.runs_programs("SecRuleScript", directive),
                "secrule" => {
                    let operator = words.get(1).map(String::as_str).unwrap_or_default();
                    let operator = operator.trim_start().trim_start_matches('!').trim_start();
                    let (name, value) = operator.split_once(char::is_whitespace).unwrap_or((operator, ""));
                    if name.eq_ignore_ascii_case("@inspectFile") {
                        needs.runs_programs("@inspectFile", directive);
                    }
                    if name.eq_ignore_ascii_case("@rbl") && (has_key || !value.contains(LIST_WITH_KEY)) {
                        needs.asks_servers("@rbl", directive);
                    }
                    if ["@validateSchema", "@validateDTD"]
                        .iter()
                        .any(|known| name.eq_ignore_ascii_case(known))
                    {
                        needs.read.extend(folder_of(value.trim(), &directive.place));
                    }
                }
                // Entities may be anywhere.
                "secxmlexternalentity" if first.eq_ignore_ascii_case("On") => {
                    needs.asks_servers("SecXmlExternalEntity", directive);
                }
                _ => {}
            }
            if has_exec(directive, &words, directives.version) {
                needs.runs_programs("exec", directive);
            }
            temporary.has_bodies |= directive.arguments.to_ascii_lowercase().contains("requestbodyaccess=on");
        }
        let bodies = temporary.used(directives.version);
        let folder = |path: Option<PathBuf>, content| path.map(|path| Folder { path, content });
        needs.folders.extend(folder(records.filter(|_| is_concurrent), Content::AuditRecords));
        needs.folders.extend(folder(collections, Content::Collections));
        needs.folders.extend(folder(bodies, Content::Bodies));
        needs.folders.extend(folder(uploads, Content::Bodies));
        needs
    }

    /// Adds what other rules need.
    pub fn add(&mut self, other: &Self) {
        let new = other.folders.iter().filter(|folder| !self.folders.contains(folder));
        let new: Vec<_> = new.cloned().collect();
        self.folders.extend(new);
        self.read.extend(other.read.iter().cloned());
        self.network = self.network.take().or_else(|| other.network.clone());
        self.programs = self.programs.take().or_else(|| other.programs.clone());
    }

    fn asks_servers(&mut self, what: &'static str, directive: &Directive) {
        self.network.get_or_insert_with(|| Cause { what, place: directive.place.clone() });
    }

    fn runs_programs(&mut self, what: &'static str, directive: &Directive) {
        self.programs.get_or_insert_with(|| Cause { what, place: directive.place.clone() });
    }
}

/// What decides whether an engine keeps bodies in temporary files.
struct Temporary {
    /// `SecTmpDir`: where; without it in the usual folder, and with `none` nowhere.
    folder: Option<Option<PathBuf>>,
    /// `SecRequestBodyAccess`, and the action that changes it.
    has_bodies: bool,
    /// `SecRequestBodyInMemoryLimit`, in bytes.
    in_memory: u64,
    /// `SecUploadKeepFiles`.
    has_uploads: bool,
}

impl Default for Temporary {
    fn default() -> Self {
        Self { folder: None, has_bodies: false, in_memory: 128 * 1024, has_uploads: false }
    }
}

impl Temporary {
    /// The folder, if the engine writes there.
    fn used(self, version: EngineVersion) -> Option<PathBuf> {
        let is_short = self.in_memory < LONGEST_BODY;
        match (version, self.folder) {
            (_, Some(folder)) => folder,
            // libmodsecurity has no other.
            (EngineVersion::V3, None) => None,
            (EngineVersion::V2, None) => {
                (self.has_uploads || self.has_bodies && is_short).then(std::env::temp_dir)
            }
        }
    }
}

/// The folder of a file that a rule names, from the folder of the rule's own file on.
fn folder_of(file: &str, place: &Place) -> Option<PathBuf> {
    let own = place.file.parent().unwrap_or(&place.file);
    Some(own.join(file).parent()?.to_owned())
}

/// Whether a directive has the action `exec`. Its place among the arguments differs, and what only looks like the action
/// costs nothing but a wider sandbox.
fn has_exec(directive: &Directive, words: &[String], version: EngineVersion) -> bool {
    let has_actions =
        ["SecRule", "SecAction", "SecDefaultAction", "SecRuleScript", "SecRuleUpdateActionById"];
    has_actions.iter().any(|name| directive.name.eq_ignore_ascii_case(name))
        && words.last().is_some_and(|word| {
            actions(word, version).iter().any(|action| action.is("exec") && !action.value.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(version: EngineVersion, text: &str) -> Needs {
        let mut directives = Directives::new(version);
        directives.add(text, "rules.conf").unwrap();
        Needs::of(&directives)
    }

    #[test]
    fn folders_are_those_of_the_last_word() {
        let text = "SecAuditLogType Concurrent\nSecAuditLogStorageDir /a\nSecAuditLogStorageDir \"/b\"\n\
                    SecDataDir /data\nSecTmpDir /tmp/x\nSecUploadDir relative";
        let folders = needs(EngineVersion::V3, text).folders;
        let expected =
            [("/b", Content::AuditRecords), ("/data", Content::Collections), ("/tmp/x", Content::Bodies)];
        let expected = expected.map(|(path, content)| Folder { path: path.into(), content });
        assert_eq!(folders, expected);
        assert_eq!(
            needs(EngineVersion::V3, "SecAuditLogStorageDir /a\nSecAuditLogType Serial"),
            Needs::default()
        );
        let usual = [Folder { path: std::env::temp_dir(), content: Content::Bodies }];
        for (text, expected) in [
            ("", &[][..]),
            ("SecRequestBodyAccess On", &usual),
            ("SecAction \"id:1,ctl:requestBodyAccess=On\"", &usual),
            ("SecUploadKeepFiles RelevantOnly", &usual),
            ("SecRequestBodyAccess On\nSecTmpDir none", &[]),
            ("SecRequestBodyAccess On\nSecRequestBodyInMemoryLimit 16777216", &[]),
        ] {
            assert_eq!(needs(EngineVersion::V2, text).folders, expected, "{text}");
            assert_eq!(needs(EngineVersion::V3, text).folders, [], "{text}");
        }
    }

    #[test]
    fn schemas_are_read() {
        let text = "SecRule XML \"@validateSchema /schemas/a.xsd\" \"id:1\"\nSecRule XML \"@validateDTD b.dtd\" \"id:2\"";
        let mut directives = Directives::new(EngineVersion::V3);
        directives.add(text, "/etc/rules/rules.conf").unwrap();
        assert_eq!(Needs::of(&directives).read, [PathBuf::from("/schemas"), PathBuf::from("/etc/rules")]);
    }

    #[test]
    fn programs_and_servers_are_found() {
        for (text, programs, network) in [
            (r#"SecRule A "@inspectFile /x.pl" "id:1""#, Some("@inspectFile"), None),
            (r#"SecRule A "!@inspectfile /x.pl" "id:1""#, Some("@inspectFile"), None),
            (r#"SecRule A "@rx exec:" "id:1,msg:'exec:x'""#, None, None),
            (r#"SecAction "id:1,pass,exec:/x.lua""#, Some("exec"), None),
            (r#"SecRuleUpdateActionById 1 "Exec:'/x.lua'""#, Some("exec"), None),
            ("SecRuleScript /x.lua id:1", Some("SecRuleScript"), None),
            ("SecAuditLogType https", Some("SecAuditLogType HTTPS"), None),
            (r#"SecRule A "@rbl bl.test" "id:1""#, None, Some("@rbl")),
            (r#"SecRule A "@rbl dnsbl.httpbl.org" "id:1""#, None, None),
            ("SecRule A \"@rbl dnsbl.httpbl.org\" \"id:1\"\nSecHttpBlKey abcdefghijkl", None, Some("@rbl")),
        ] {
            let found = needs(EngineVersion::V3, text);
            let what = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.what);
            assert_eq!((what(&found.programs), what(&found.network)), (programs, network), "{text}");
        }
    }
}
