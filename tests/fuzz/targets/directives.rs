//! Rule files, as each engine reads them: directives, what is wrong with them, and what they let pass.
//!
//! Files that are included are not read: a fuzzer would find /dev/zero.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modsecurity_spoa::ffi::rules::{RuleEngine, RuleSettings};
use modsecurity_spoa::rules::check::check;
use modsecurity_spoa::rules::directives::{Directives, compare};
use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::rules::warnings;

fuzz_target!(|data: &[u8]| {
    if data.windows(7).any(|word| word.eq_ignore_ascii_case(b"include")) {
        return;
    }
    for version in [EngineVersion::V2, EngineVersion::V3] {
        let mut directives = Directives::new(version);
        if directives.add(data, "rules.conf").is_err() {
            continue;
        }
        let lines = data.split(|byte| *byte == b'\n').count();
        assert!(directives.all().iter().all(|directive| (1..=lines).contains(&directive.place.line)));
        if let Err(faults) = check(&directives) {
            assert!(!faults.0.is_empty() && !faults.to_string().contains('\n'));
        }
        let rules = directives.rules();
        let ids: Vec<_> = rules.iter().map(|rule| rule.id.unwrap_or_default()).collect();
        // Which of them are removed depends on the engine.
        if let Ok(counts) = compare(&directives, &ids) {
            assert_eq!(counts.in_files, rules.len());
        }
        let settings =
            RuleSettings { engine: RuleEngine::On, request_body_access: true, response_body_access: true };
        let found = warnings::find(&directives, &rules, &settings);
        assert_eq!(warnings::Warnings::from_bits(found.bits()).iter().count(), found.iter().count());
    }
});
