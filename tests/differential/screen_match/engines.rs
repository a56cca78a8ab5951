//! The operators of the engines themselves: a rule for each of them looks at the argument `v` of a request, in which every
//! byte is escaped.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fmt::Write as _;
use std::sync::Arc;

#[cfg(feature = "engine2")]
use modsecurity_spoa::ffi::v2;
#[cfg(feature = "engine3")]
use modsecurity_spoa::ffi::v3;
use modsecurity_spoa::rules::version::EngineVersion;
use tempfile::TempDir;

use super::rule_sets::Written;

pub enum Engine {
    #[cfg(feature = "engine2")]
    Two(Arc<v2::Ruleset>, std::rc::Rc<v2::Arena>),
    #[cfg(feature = "engine3")]
    Three(Arc<v3::Ruleset>),
}

impl Engine {
    /// The engine with one rule for each operator, in their order. Those of one engine are to be loaded one after the
    /// other, by one thread.
    pub fn load(version: EngineVersion, operators: &[Written]) -> Self {
        let mut text = "SecRuleEngine DetectionOnly\nSecRequestBodyAccess Off\n".to_owned();
        if version == EngineVersion::V2 {
            text.push_str("SecPcreMatchLimit 500000\nSecPcreMatchLimitRecursion 500000\n");
        }
        for (number, operator) in operators.iter().enumerate() {
            let text_of = operator.text();
            writeln!(text, "SecRule ARGS:v \"{text_of}\" \"id:{},phase:1,pass,log,t:none\"", number + 1)
                .unwrap();
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("rules.conf");
        std::fs::write(&path, text).unwrap();
        let path = CString::new(path.to_str().unwrap()).unwrap();
        match version {
            #[cfg(feature = "engine2")]
            EngineVersion::V2 => {
                let mut rules = v2::Ruleset::new(c"tests").unwrap();
                rules.add_file(&path, false).unwrap();
                rules.begin_process();
                let arena = v2::Arena::new(&rules).unwrap();
                Self::Two(Arc::new(rules), arena)
            }
            #[cfg(feature = "engine3")]
            EngineVersion::V3 => {
                let mut rules = v3::Ruleset::new(c"tests").unwrap();
                rules.add_file(&path).unwrap();
                Self::Three(Arc::new(rules))
            }
            #[allow(unreachable_patterns)]
            version => panic!("built without {version}"),
        }
    }

    /// The numbers of the operators that match.
    pub fn matching(&self, value: &[u8]) -> BTreeSet<usize> {
        let mut uri = "/?v=".to_owned();
        for byte in value {
            write!(uri, "%{byte:02x}").unwrap();
        }
        let found = match self {
            #[cfg(feature = "engine2")]
            Self::Two(rules, arena) => {
                let mut transaction = v2::Transaction::new(arena.clone(), rules.clone(), b"id").unwrap();
                transaction.set_connection((b"192.0.2.1", 1), (b"192.0.2.2", 80)).unwrap();
                transaction.set_request_line(b"GET", uri.as_bytes(), b"1.1").unwrap();
                transaction.process_request_headers(0).unwrap();
                transaction.matches(0).rules
            }
            #[cfg(feature = "engine3")]
            Self::Three(rules) => {
                let mut transaction = v3::Transaction::new(rules.clone(), c"id").unwrap();
                let uri = CString::new(uri).unwrap();
                transaction.process_uri(&uri, c"GET", c"1.1").unwrap();
                transaction.process_request_headers().unwrap();
                transaction.matches(0).unwrap().rules
            }
        };
        found.into_iter().map(|id| usize::try_from(id).unwrap() - 1).collect()
    }
}
