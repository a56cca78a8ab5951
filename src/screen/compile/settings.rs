//! The directives other than rules: what the screen goes by, and what switches the screen off.

use super::off::Off;
use crate::rules::directives::{Directive, Directives};
use crate::rules::version::EngineVersion;

/// The settings that requests depend on, as the last directive of each name has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bodies are inspected.
    pub has_body_access: bool,
    /// Bytes of the longest body that the engine inspects whole.
    pub body_limit: u64,
    /// Bytes of the longest body without files.
    pub no_files_limit: u64,
    /// Bytes of the longest body that the engine keeps in memory.
    pub in_memory_limit: u64,
    /// Arguments up to which the engine takes all.
    pub arguments: usize,
    /// Depth of JSON that the engine follows.
    pub json_depth: usize,
    /// What `SecPcreMatchLimit` says.
    pub pcre_match_limit: u32,
    /// What `SecPcreMatchLimitRecursion` says.
    pub pcre_depth_limit: u32,
    /// The audit log has a record of each transaction that a rule or its status makes relevant.
    pub is_audit_relevant: bool,
    /// `SecDataDir` is set.
    pub has_data_folder: bool,
}

/// Directives that do not change what a clean request leads to.
const HARMLESS: [&str; 40] = [
    "SecRule",
    "SecAction",
    "SecMarker",
    "SecDefaultAction",
    "SecRuleRemoveById",
    "SecRuleRemoveByTag",
    "SecRuleRemoveByMsg",
    "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByTag",
    "SecRuleUpdateTargetByMsg",
    "SecRequestBodyLimitAction",
    "SecResponseBodyAccess",
    "SecResponseBodyLimit",
    "SecResponseBodyLimitAction",
    "SecResponseBodyMimeType",
    "SecResponseBodyMimeTypesClear",
    "SecAuditLog",
    "SecAuditLog2",
    "SecAuditLogDirMode",
    "SecAuditLogFileMode",
    "SecAuditLogFormat",
    "SecAuditLogParts",
    "SecAuditLogStorageDir",
    "SecAuditLogType",
    "SecCollectionTimeout",
    "SecComponentSignature",
    "SecDebugLog",
    "SecGeoLookupDb",
    "SecGsbLookupDb",
    "SecHttpBlKey",
    "SecInterceptOnError",
    "SecSensorId",
    "SecServerSignature",
    "SecStatusEngine",
    "SecTmpDir",
    "SecUploadDir",
    "SecUploadFileLimit",
    "SecUploadFileMode",
    "SecXmlExternalEntity",
    "SecAuditLogPrefix",
];

/// The longest body without `SecRequestBodyLimit`.
const DEFAULT_LIMIT: u64 = 134_217_728;

/// Reads them.
///
/// # Errors
/// The first directive that the screen does not know, or that makes every request leave something behind.
pub(super) fn settings(directives: &Directives) -> Result<Settings, Off> {
    let version = directives.version();
    let mut settings = Settings {
        has_body_access: false,
        body_limit: if version == EngineVersion::V2 { DEFAULT_LIMIT } else { u64::MAX },
        no_files_limit: if version == EngineVersion::V2 { 1_048_576 } else { u64::MAX },
        in_memory_limit: 131_072,
        arguments: if version == EngineVersion::V2 { 1000 } else { usize::MAX },
        json_depth: 10_000,
        pcre_match_limit: 1500,
        pcre_depth_limit: 1500,
        is_audit_relevant: false,
        has_data_folder: false,
    };
    let mut relevant_status: Option<&Directive> = None;
    for directive in directives.all() {
        let word = directive.first_word(version);
        let is = |value: &str| word.eq_ignore_ascii_case(value);
        let off = |cause: &str| Err(Off::at(&directive.place, format!("{} {cause}", directive.name)));
        let must = |condition: bool| if condition { Ok(()) } else { off(&word) };
        match directive.name.to_ascii_lowercase().as_str() {
            "secruleengine" => must(is("On") || is("DetectionOnly"))?,
            "secrequestbodyaccess" => settings.has_body_access = is("On"),
            "secrequestbodylimit" => settings.body_limit = word.parse().unwrap_or(0),
            "secrequestbodynofileslimit" => settings.no_files_limit = word.parse().unwrap_or(0),
            "secrequestbodyjsondepthlimit" => settings.json_depth = word.parse().unwrap_or(0),
            "secrequestbodyinmemorylimit" => settings.in_memory_limit = word.parse().unwrap_or(0),
            "secargumentslimit" => settings.arguments = word.parse().unwrap_or(0),
            "secpcrematchlimit" => settings.pcre_match_limit = word.parse().unwrap_or(0),
            "secpcrematchlimitrecursion" => settings.pcre_depth_limit = word.parse().unwrap_or(0),
            "secauditengine" => {
                must(is("Off") || is("RelevantOnly"))?;
                settings.is_audit_relevant = is("RelevantOnly");
            }
            "secauditlogrelevantstatus" => relevant_status = Some(directive),
            "secdatadir" => settings.has_data_folder = true,
            "secargumentseparator" => must(is("&"))?,
            "seccookieformat" | "secdebugloglevel" => must(is("0"))?,
            "secuploadkeepfiles"
            | "sectmpsaveuploadedfiles"
            | "seccachetransformations"
            | "secstreaminbodyinspection"
            | "secstreamoutbodyinspection"
            | "seccontentinjection"
            | "sechashengine"
            | "secdisablebackendcompression"
            | "secconnengine" => must(is("Off"))?,
            name if HARMLESS.iter().any(|known| known.eq_ignore_ascii_case(name)) => {}
            _ => off("is not modelled")?,
        }
    }
    if settings.is_audit_relevant && relevant_status.is_none() && version == EngineVersion::V3 {
        return Err(Off::new("without SecAuditLogRelevantStatus every request is one for the audit log"));
    }
    if let (true, Some(directive)) = (settings.is_audit_relevant, relevant_status) {
        let text = directive.first_word(version);
        if regex_lite::Regex::new(&text).map_or(true, |status| status.is_match("200")) {
            return Err(Off::at(&directive.place, "SecAuditLogRelevantStatus takes in clean requests"));
        }
    }
    Ok(settings)
}
