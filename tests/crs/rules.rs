//! The rules that the tests are run with: as they are installed, and as the engine that they were written for has them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::haproxy::repository;
use crate::support::process::engine;

const INSTALLED: &str = "/usr/share/modsecurity-crs/rules";

/// What the tests ask for (README.md and docker-compose.yml of tests/regression): paranoia 4, detection only, the checks
/// that are off by default, at the limits that crs-setup.conf proposes, and no block lists of addresses.
const SET_UP: &str = r#"
Include /etc/modsecurity/crs/crs-setup.conf
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleRemoveById=910000,\
  setvar:tx.paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,\
  setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,\
  setvar:tx.max_num_args=255,setvar:tx.combined_file_sizes=65535"
"#;

/// The rule set as it is installed, under the agent's own default settings.
pub fn installed() -> String {
    format!("{}{SET_UP}Include {INSTALLED}/*.conf\n{}", default_settings(), last_rules())
}

/// The built-in rules that stand behind all others.
fn last_rules() -> String {
    match engine() {
        2 => std::fs::read_to_string(repository("src/modsecurity/v2/last.conf")).unwrap(),
        _ => String::new(),
    }
}

fn default_settings() -> String {
    let mut default = std::fs::read_to_string(repository("src/modsecurity/default.conf")).unwrap();
    if engine() == 2 {
        default += &std::fs::read_to_string(repository("src/modsecurity/v2/default.conf")).unwrap();
    }
    let detecting = default.replace("SecRuleEngine On", "SecRuleEngine DetectionOnly");
    assert_ne!(default, detecting, "default.conf has another SecRuleEngine");
    detecting
}

/// The same as ModSecurity 2 would read and run it, for which the tests were written:
/// - REQUEST_BODY is empty when the body is XML;
/// - of the doubled backslashes in a rule's quotes, one is left.
pub struct Mended {
    pub rules: String,
    _folder: TempDir,
}

/// No REQUEST_BODY where the body is XML, as the reference manual of version 2 has it.
const NO_XML_BODY: &str = r#"SecRule REQBODY_PROCESSOR "@streq XML" \
  "id:900006,phase:1,nolog,pass,t:none,ctl:ruleRemoveTargetByTag=OWASP_CRS;REQUEST_BODY"
"#;

/// The rules with doubled backslashes that tests look at, and their files.
const DOUBLED: [(&str, &str); 2] = [
    ("REQUEST-920-PROTOCOL-ENFORCEMENT.conf", "\"id:920460,"),
    ("REQUEST-941-APPLICATION-ATTACK-XSS.conf", "\"id:941330,"),
];

impl Mended {
    /// A copy of the installed rules in a folder of its own: the rules name their data files relative to theirs.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in Path::new(INSTALLED).read_dir().unwrap() {
            let path = entry.unwrap().path();
            copy(&path, folder.path().join(path.file_name().unwrap()));
        }
        let include = format!("Include {}/*.conf\n", folder.path().display());
        Self { rules: default_settings() + SET_UP + NO_XML_BODY + &include + &last_rules(), _folder: folder }
    }
}

fn copy(from: &Path, to: PathBuf) {
    let Some((_, id)) = DOUBLED.iter().find(|(file, _)| from.ends_with(file)) else {
        std::os::unix::fs::symlink(from, to).unwrap();
        return;
    };
    let text = std::fs::read_to_string(from).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let id = lines.iter().position(|line| line.contains(id)).unwrap();
    let halved = lines[id - 1].replace(r"\\\\", r"\\");
    assert_ne!(halved, lines[id - 1], "no doubled backslashes in {}", from.display());
    lines[id - 1] = halved;
    std::fs::write(to, lines.join("\n") + "\n").unwrap();
}
