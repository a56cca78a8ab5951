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
    let ids: Vec<i64> = directives.rules().iter().map(|rule| rule.id.unwrap_or(0)).collect();
    compile(&directives, &ids).unwrap_or_else(|off| panic!("{off}"))
}

#[test]
fn the_guards_of_the_core_rule_set() {
    for version in [EngineVersion::V2, EngineVersion::V3] {
        for level in 1..=4 {
            let compiled = installed(version, level);
            let of = |phase| compiled.rules.guards.iter().filter(|guard| guard.phase == phase).count();
            println!("{version:?} {level} {:?} {:?}", compiled.rules.counts, [of(1), of(2), of(5)]);
            for guard in &compiled.rules.guards {
                println!("  guard {:?} {}", guard.rule.id, guard.steps.len());
            }
            for writer in &compiled.rules.writers {
                println!("  writer {:?} {:?}", writer.rule.id, writer.effect);
            }
        }
    }
}
