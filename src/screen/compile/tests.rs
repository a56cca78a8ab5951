use super::*;
use crate::rules::sources::core_rule_set;
use crate::rules::version::EngineVersion;

/// The Core Rule Set as it is installed, at a paranoia level, as an engine has it that has all rules.
fn installed(version: EngineVersion, level: u8) -> Compiled {
    let mut directives = Directives::new(version);
    directives.add("SecRuleEngine On\nSecRequestBodyAccess On\n", "settings").unwrap();
    let mut files = core_rule_set().unwrap();
    directives.add_file(&files.remove(0)).unwrap();
    let more =
        format!("SecAction \"id:900000,phase:1,nolog,pass,t:none,setvar:tx.paranoia_level={level}\"\n");
    directives.add(more, "level").unwrap();
    files.iter().for_each(|path| directives.add_file(path).unwrap());
    // As an engine lists them: phase by phase.
    let rules = directives.rules();
    let mut phase = 0;
    let mut ids: Vec<(u8, i64)> = Vec::new();
    for rule in &rules {
        if !rule.is_chained {
            let word = rule.values("phase").last().unwrap_or("2");
            phase = word.parse().unwrap_or(if word == "request" { 2 } else { 5 });
        }
        ids.push((phase, rule.id.unwrap_or(0)));
    }
    ids.sort_by_key(|(phase, _)| *phase);
    let ids: Vec<i64> = ids.into_iter().map(|(_, id)| id).collect();
    compile(&directives, &ids).unwrap_or_else(|off| panic!("{off}"))
}

/// Those of the rules of the set: two rules more are the test's own, for the level, and 905100 and 905110 switch the engine off
/// for requests from this machine.
#[test]
fn the_guards_of_the_core_rule_set() {
    for version in [EngineVersion::V2, EngineVersion::V3] {
        for (level, reached, guards) in
            [(1, 262, [12, 114, 2]), (2, 344, [13, 162, 2]), (3, 397, [16, 178, 2]), (4, 404, [16, 185, 2])]
        {
            let compiled = installed(version, level);
            let of = |phase| compiled.rules.guards.iter().filter(|guard| guard.phase == phase).count();
            assert_eq!([of(1), of(2), of(5)], guards, "{version:?} {level}");
            let counts = compiled.rules.counts;
            assert_eq!(counts.reached, reached);
            assert_eq!(counts.always + counts.never + counts.guards + counts.unseen, reached);
            assert_eq!(compiled.rules.score, Some(0));
        }
    }
}

/// What these rules leave: how many guards, or why no request is proven.
fn left(version: EngineVersion, rules: &str) -> Result<usize, String> {
    let mut directives = Directives::new(version);
    directives.add(format!("SecRuleEngine On\n{rules}"), "rules").unwrap();
    let ids: Vec<i64> = directives.rules().iter().map(|rule| rule.id.unwrap_or(0)).collect();
    compile(&directives, &ids).map(|compiled| compiled.rules.guards.len()).map_err(|off| off.to_string())
}

#[test]
fn what_every_request_leaves_behind_keeps_the_screen_off() {
    let on_all = |actions: &str| format!("SecAction \"id:1,phase:1,nolog,pass,{actions}\"");
    for version in [EngineVersion::V2, EngineVersion::V3] {
        for rules in [
            "SecAction \"id:1,phase:1,pass,log\"".to_owned(),
            "SecAction \"id:1,phase:1,deny,nolog\"".to_owned(),
            "SecAction \"id:1,phase:1,allow,nolog\"".to_owned(),
            on_all("setvar:ip.x=1"),
            on_all("ctl:ruleEngine=Off"),
            on_all("ctl:ruleRemoveById=2"),
            on_all("exec:/bin/true"),
            on_all("expirevar:ip.x=1"),
            "SecAuditEngine On".to_owned(),
            "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus \"^(?:2|5)\"".to_owned(),
            "SecDebugLogLevel 1".to_owned(),
            "SecRuleEngine Off".to_owned(),
            "SecSomethingNew On".to_owned(),
            "SecRule IP:x \"@eq 1\" \"id:1,phase:1,deny\"".to_owned(),
            "SecRule TIME_HOUR \"@eq 1\" \"id:1,phase:1,deny\"".to_owned(),
        ] {
            assert!(left(version, &rules).is_err(), "{version:?} {rules}");
        }
        assert_eq!(left(version, &on_all("setvar:tx.x=1")), Ok(0));
        let relevant = "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus \"^(?:5|4(?!04))\"\n";
        assert!(left(version, &relevant.replace("(?!04)", "")).is_ok());
        let is_none = left(version, "SecAuditEngine RelevantOnly").is_err();
        assert_eq!(
            is_none,
            version == EngineVersion::V3,
            "libmodsecurity 3 then takes every request for relevant"
        );
    }
}

#[test]
fn variables_that_are_the_same_for_every_request_are_settled() {
    let guarded = "SecRule ARGS \"@rx a\" \"id:9,phase:2,deny\"\n";
    let set = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=1\"\n";
    let gate = |condition: &str| {
        format!(
            "SecRule TX:level \"{condition}\" \"id:2,phase:2,nolog,pass,skipAfter:END\"\n{guarded}SecMarker END\n"
        )
    };
    for version in [EngineVersion::V2, EngineVersion::V3] {
        assert_eq!(left(version, &format!("{set}{}", gate("@lt 2"))), Ok(0), "skipped by all");
        assert_eq!(left(version, &format!("{set}{}", gate("@lt 1"))), Ok(1), "skipped by none");
        assert_eq!(left(version, &gate("@lt 2")), Ok(1), "the variable is absent");
        // What some requests write may have any value for the others.
        let some = "SecRule ARGS:l \"@rx .\" \"id:3,phase:1,nolog,pass,setvar:tx.level=%{MATCHED_VAR}\"\n";
        assert_eq!(left(version, &format!("{set}{some}{}", gate("@lt 2"))), Ok(1), "skipped by some");
        // A rule that may be removed for a request settles nothing for it: who removes it is handed over.
        let removed = "SecRule ARGS:r \"@rx .\" \"id:3,phase:1,nolog,pass,ctl:ruleRemoveById=1\"\n";
        assert_eq!(left(version, &format!("{removed}{set}{}", gate("@lt 2"))), Ok(1));
        let other = removed.replace("ById=1", "ById=9");
        assert_eq!(left(version, &format!("{other}{set}{}", gate("@lt 1"))), Ok(1), "fewer matches");
    }
}
