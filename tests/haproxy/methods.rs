//! Does a method that the engine or HAProxy does not know hide an attack?

use crate::support::haproxy::Haproxy;
use crate::support::site::{Site, shared};
use std::sync::OnceLock;

const ATTACK: &str = "/?id=1'%20OR%20'1'%3D'1";

/// The Core Rule Set denies unknown methods by itself, which would hide a lost query: here only the attack denies.
const RULES: &str = "SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS \"@detectSQLi\" \"id:1,phase:2,deny,status:403\"
";

fn any_method() -> &'static Haproxy {
    static SITE: OnceLock<Site> = OnceLock::new();
    &SITE.get_or_init(|| Site::with_rules(RULES)).haproxy
}

fn assert_inspected(method: &str) {
    any_method().curl("/?q=shoes", &["-X", method]).assert_clean();
    any_method().curl(ATTACK, &["-X", method]).assert_denied();
    shared().haproxy.curl(ATTACK, &["-X", method]).assert_denied();
}

#[test]
fn an_attack_with_method_foo_is_denied() {
    assert_inspected("FOO");
}

#[test]
fn an_attack_with_a_method_of_one_letter_is_denied() {
    assert_inspected("X");
}

#[test]
fn an_attack_with_method_propfind_is_denied() {
    assert_inspected("PROPFIND");
}

#[test]
fn an_attack_with_a_method_in_small_letters_is_denied() {
    assert_inspected("get");
}

#[test]
fn an_attack_in_a_body_with_an_unknown_method_is_denied() {
    any_method().curl("/", &["-X", "FOO", "-d", "comment=hello"]).assert_clean();
    any_method().curl("/", &["-X", "FOO", "-d", "id=1'%20OR%20'1'%3D'1"]).assert_denied();
}

#[test]
fn the_core_rule_set_denies_unknown_methods() {
    shared().haproxy.curl("/", &["-X", "FOO"]).assert_denied();
}
