//! Does the status of the rule that denies come out at HAProxy, whichever phase it denies in?

use crate::support::haproxy::Haproxy;
use crate::support::site::Site;
use std::sync::OnceLock;

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:X-Phase "@streq 1" "id:1,phase:1,deny,status:451"
SecRule REQUEST_HEADERS:X-Phase "@streq 2" "id:2,phase:2,deny,status:406"
SecRule ARGS_POST:word "@streq hello" "id:3,phase:2,deny,status:429"
SecRule REQUEST_HEADERS:X-Phase "@streq both" "id:4,phase:1,deny,status:451"
SecRule REQUEST_HEADERS:X-Phase "@streq both" "id:5,phase:2,deny,status:406"
SecRule REQUEST_HEADERS:X-Phase "@streq move" "id:6,phase:1,redirect:http://shop.test/elsewhere,status:302"
SecRule REQUEST_HEADERS:X-Phase "@streq plain" "id:8,phase:1,deny"
SecRule REQUEST_HEADERS:X-Phase "@streq pass" "id:9,phase:1,pass,log,msg:'only logged'"
"#;

fn haproxy() -> &'static Haproxy {
    static SITE: OnceLock<Site> = OnceLock::new();
    &SITE.get_or_init(|| Site::with_rules(RULES)).haproxy
}

fn phase(value: &str, options: &[&str]) -> crate::support::client::Answer {
    haproxy().curl("/", &[&["-H", &format!("X-Phase: {value}")], options].concat())
}

#[test]
fn a_denial_in_phase_1_of_a_get_without_a_body_has_its_status() {
    let answer = phase("1", &[]);
    answer.assert_denied_with(451);
    assert_eq!(answer.status, 451);
}

#[test]
fn a_denial_in_phase_1_of_a_post_has_its_status() {
    phase("1", &["-d", "word=other"]).assert_denied_with(451);
}

#[test]
fn a_denial_in_phase_2_of_a_get_without_a_body_has_its_status() {
    let answer = phase("2", &[]);
    answer.assert_denied_with(406);
    assert_eq!(answer.status, 406);
}

#[test]
fn a_denial_by_the_body_has_its_status() {
    let answer = phase("0", &["-d", "word=hello"]);
    answer.assert_denied_with(429);
    assert_eq!(answer.status, 429);
}

#[test]
fn the_first_denial_counts() {
    phase("both", &["-d", "word=hello"]).assert_denied_with(451);
}

#[test]
fn a_denial_without_a_status_is_403() {
    phase("plain", &[]).assert_denied();
}

#[test]
fn a_rule_that_passes_denies_nothing() {
    phase("pass", &[]).assert_clean();
}

#[test]
fn a_redirect_goes_where_its_rule_says() {
    let answer = haproxy()
        .curl("/", &["-H", "X-Phase: move", "-w", "\nto %{redirect_url}\n%{local_ip} %{local_port}"]);
    assert_eq!((answer.status, answer.verdict.code, answer.verdict.error.as_deref()), (302, Some(302), None));
    assert!(answer.body.contains("to http://shop.test/elsewhere"), "{answer:?}");
}

#[test]
fn detection_only_lets_attacks_through() {
    let site = Site::with_rules(
        "SecRuleEngine DetectionOnly\nSecRule ARGS:a \"@streq b\" \"id:1,phase:1,deny,log\"\n",
    );
    site.haproxy.curl("/?a=b", &[]).assert_clean();
    site.agent
        .log
        .wait_for("the rule that matched", |line| line.contains("rule matched") && line.contains("rule: 1,"));
}
