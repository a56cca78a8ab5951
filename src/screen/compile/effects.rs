//! What the actions of a rule do besides showing its match.

use super::fold::number;
use super::ir::{Template, Value, Write};
use super::model::Link;
use super::tx::{Known, Tx};
use crate::rules::version::EngineVersion;

/// A change that an action makes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Nothing that anybody sees if the rule's match is not seen.
    None,
    /// Writes in `TX`.
    Tx(Vec<Write>),
    /// Only adds to what the record of the audit log has.
    Sum,
    /// `initcol`.
    OpensCollection,
    SkipAfter(String),
    /// `ctl:ruleRemoveTargetById` and its like: there are fewer matches.
    RemovesTarget,
    /// `ctl:ruleRemoveById` and its like.
    Removes(Removal),
    /// `ctl:forceRequestBodyVariable=On`.
    ForcesBody,
    /// `ctl:requestBodyProcessor`.
    Processor(String),
    /// Something else.
    Unknown(String),
}

impl Change {
    /// Whether a link does it although the chain fails behind the link, and it is not known what that does.
    pub(super) fn acts_alone(&self, version: EngineVersion) -> bool {
        match self {
            Self::None | Self::Sum | Self::RemovesTarget | Self::Tx(_) => false,
            // libmodsecurity 3 takes only setvar from a link of a chain that fails; which may be of a collection that stays.
            Self::Unknown(what) => version == EngineVersion::V2 || what == "setvar",
            // It acts for the whole chain.
            Self::SkipAfter(_) => false,
            _ => version == EngineVersion::V2,
        }
    }
}

/// Rules that another removes for one request.
#[derive(Clone, Debug)]
pub(super) enum Removal {
    Ids(Vec<(i64, i64)>),
    Tag(String),
    Other,
}

impl Removal {
    /// Whether it may remove this rule.
    pub(super) fn may_name(&self, id: i64, tags: &[String], version: EngineVersion) -> bool {
        match (self, version) {
            (Self::Ids(ranges), _) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&id)),
            (Self::Tag(text), EngineVersion::V3) => tags.contains(text),
            (Self::Tag(text), EngineVersion::V2) => match regex_lite::Regex::new(text) {
                Ok(expression) => tags.iter().any(|tag| expression.is_match(tag)),
                Err(_) => true,
            },
            (Self::Other, _) => true,
        }
    }
}

/// Actions that do nothing to a request.
const HARMLESS: [&str; 22] = [
    "id",
    "phase",
    "msg",
    "tag",
    "logdata",
    "rev",
    "ver",
    "maturity",
    "accuracy",
    "severity",
    "status",
    "capture",
    "multiMatch",
    "log",
    "nolog",
    "auditlog",
    "noauditlog",
    "pass",
    "chain",
    "block",
    "xmlns",
    "deny",
];

/// What the actions of this link do, `setvar` in `TX` apart.
pub(super) fn of(link: &Link, version: EngineVersion) -> Vec<Change> {
    let mut changes = Vec::new();
    for action in &link.actions {
        let is = |name: &str| action.is(name);
        if HARMLESS.iter().any(|name| is(name)) || is("drop") || is("redirect") || is("proxy") || is("pause")
        {
            continue;
        }
        changes.push(match action.name.to_ascii_lowercase().as_str() {
            "setvar" if in_tx(&action.value).is_some() => Change::None,
            "initcol" => Change::OpensCollection,
            "skipafter" => Change::SkipAfter(action.value.clone()),
            "ctl" => control(&action.value, version),
            name => Change::Unknown(name.to_owned()),
        });
    }
    changes
}

fn control(value: &str, version: EngineVersion) -> Change {
    let (name, value) = value.split_once('=').unwrap_or((value, ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "auditlogparts" => Change::Sum,
        "ruleremovetargetbyid" | "ruleremovetargetbytag" | "ruleremovetargetbymsg" => {
            match value.to_ascii_uppercase().contains(";TX") {
                true => Change::Unknown(format!("ctl:{name}")),
                false => Change::RemovesTarget,
            }
        }
        "ruleremovebyid" => {
            let ranges = value.split([',', ' ']).filter(|word| !word.is_empty()).map(|word| {
                let (from, to) = word.split_once('-').unwrap_or((word, word));
                Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
            });
            Change::Removes(ranges.collect::<Option<_>>().map_or(Removal::Other, Removal::Ids))
        }
        "ruleremovebytag" => Change::Removes(Removal::Tag(value.to_owned())),
        "ruleremovebymsg" => Change::Removes(Removal::Other),
        "forcerequestbodyvariable" if version == EngineVersion::V3 => Change::None,
        "forcerequestbodyvariable" if value.eq_ignore_ascii_case("on") => Change::ForcesBody,
        "requestbodyprocessor" => Change::Processor(value.to_ascii_uppercase()),
        _ => Change::Unknown(format!("ctl:{name}")),
    }
}

/// What `setvar` writes, if it is a variable of `TX`: the text without `tx.`, and whether it removes the variable.
fn in_tx(text: &str) -> Option<(&str, bool)> {
    let text = text.trim();
    let (text, is_removal) = match text.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (collection, rest) = text.split_once(['.', ':'])?;
    collection.eq_ignore_ascii_case("tx").then_some((rest, is_removal))
}

/// The write of a `setvar`; `None` for a collection other than `TX`.
pub(super) fn write(text: &str, tx: &Tx, is_in_chain: &dyn Fn(&str) -> bool) -> Option<Write> {
    let (rest, is_removal) = in_tx(text)?;
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (rest, None),
    };
    let mut name = tx.expand(name, is_in_chain);
    if let Some(fixed) = name.fixed() {
        name = Template(vec![super::ir::Piece::Text(fixed.to_ascii_lowercase())]);
    }
    let value = match value {
        _ if is_removal => Value::Removed,
        None => Value::Text(tx.expand("1", is_in_chain)),
        Some(value) => match value.strip_prefix(['+', '-']) {
            Some(rest) => {
                Value::Sum { template: tx.expand(rest, is_in_chain), is_negative: value.starts_with('-') }
            }
            None => Value::Text(tx.expand(value, is_in_chain)),
        },
    };
    Some(Write { name, value })
}

/// Every request comes to this write. Returns whether what is written is the same for all.
pub(super) fn apply(write: &Write, tx: &mut Tx) -> bool {
    let Some(name) = write.name.fixed() else {
        tx.blur_prefix(write.name.prefix());
        return false;
    };
    let text = match &write.value {
        Value::Removed => {
            tx.remove(&name);
            return true;
        }
        Value::Text(template) => template.fixed(),
        Value::Sum { template, is_negative } => {
            let start = match tx.get(&name) {
                None => Some(0),
                Some(Known::Text(text)) => number(&text),
                Some(Known::Maybe(_)) => None,
            };
            let more = template.fixed().and_then(|text| number(&text));
            let sum =
                start.zip(more).map(|(start, more)| if *is_negative { start - more } else { start + more });
            sum.map(|sum| sum.to_string())
        }
    };
    match &text {
        Some(text) => tx.set(&name, text.clone()),
        None => tx.blur(&name),
    }
    text.is_some()
}
