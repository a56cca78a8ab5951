//! What goes wrong elsewhere: ways in which other agents let attacks pass or stop the service, each found by reading or
//! running one. Here are the tests that show that it does not happen in this one.
//!
//! | elsewhere | tests here |
//! |---|---|
//! | an unknown method, one of less than three letters, or a Content-Length above 2³¹ gives no verdict | `haproxy/methods::an_attack_with_method_foo_is_denied` `haproxy/methods::an_attack_with_a_method_of_one_letter_is_denied` `haproxy/transport::a_content_length_above_two_gigabytes_does_not_hide_an_attack` |
//! | only the first 255 headers are looked at | `haproxy/headers::an_attack_in_header_300_is_denied` |
//! | of two headers of one name only one is inspected | `haproxy/headers::an_attack_in_the_first_of_two_headers_of_one_name_is_denied` `haproxy/headers::an_attack_in_the_second_of_two_headers_of_one_name_is_denied` `haproxy/headers::an_attack_in_the_second_of_two_cookie_headers_is_denied` |
//! | a request without a Host header is a crash | `haproxy/transport::requests_without_a_host_are_inspected` `haproxy/transport::requests_without_any_header_are_inspected` |
//! | a denial in phase 1 is overwritten by the body phase's status, which is negative | `haproxy/statuses::a_denial_in_phase_1_of_a_post_has_its_status` `haproxy/statuses::the_first_denial_counts` |
//! | an error and an approval look the same | `haproxy/elsewhere::a_message_that_the_agent_cannot_read_is_answered` `protocol/invalid::on_error_unset_leaves_the_code_unset` `load/overload::a_flood_through_haproxy_ends_in_verdicts_and_in_503` |
//! | REMOTE_ADDR is always 127.0.0.1 | `haproxy/request_view::remote_addr_is_the_clients_not_haproxys` `haproxy/request_view::remote_addr_is_the_clients_over_ipv6` |
//! | the URI is rebuilt with a trailing `?`, or handed over after the headers (these rules are in phase 1) | `haproxy/request_view::a_uri_without_a_query_gets_no_question_mark` `haproxy/request_view::a_uri_with_an_empty_query_keeps_its_question_mark` `haproxy/request_view::escapes_in_a_uri_are_as_the_client_sent_them` |
//! | a message that cannot be decoded gets no ACK, and its client waits for the whole `timeout processing` | `haproxy/elsewhere::a_message_that_the_agent_cannot_read_is_answered` `protocol/invalid::whatever_byte_of_a_notify_is_changed_it_is_answered` |
//! | after a reload the old rules stay, and responses on their way are lost | `operation/reload::new_rules_take_the_place_of_the_old` `operation/reload::a_response_finds_the_transaction_that_began_before_the_reload` |
//! | a header line above 64 KiB ends the header list | `haproxy/headers::an_attack_behind_a_header_of_66000_bytes_is_denied` |
//! | frames above 64 KiB are refused, so `tune.bufsize` cannot be raised | `haproxy/transport::a_body_of_100_kilobytes_is_inspected_whole_when_buffers_and_frames_are_large` |
//! | the agent works on for streams that HAProxy has given up on | `load/overload::an_overdue_request_never_reaches_an_engine` `load/overload::a_flood_of_the_core_rule_set_is_answered_in_time` |
//! | nothing says so when HAProxy only sends health checks and never a request | `haproxy/misconfigured::health_checks_alone_are_told_of` |
//! | bodies are randomly empty for want of `http-buffer-request`, and nobody is told | `haproxy/misconfigured::haproxy_without_http_buffer_request_is_told_of` |
//!
//! And whatever else differs from what the engine itself says is for `differential`.

use crate::support::haproxy::{Haproxy, repository};
use crate::support::site::shared;

#[test]
fn the_table_names_tests_that_exist() {
    let mut count = 0;
    for line in include_str!("elsewhere.rs").lines().filter(|line| line.starts_with("//! | ")) {
        let tests = line.split(" | ").nth(2).unwrap();
        for (file, name) in tests.split('`').filter_map(|word| word.split_once("::")) {
            let text = std::fs::read_to_string(repository(&format!("tests/{file}.rs"))).unwrap();
            assert!(text.contains(&format!("#[test]\nfn {name}() {{")), "no test {name} in tests/{file}.rs");
            count += 1;
        }
    }
    assert!(count > 20, "the table is not read: {count}");
}

#[test]
fn a_message_that_the_agent_cannot_read_is_answered() {
    let deployed = std::fs::read_to_string(repository("deploy/spoe-modsecurity.conf")).unwrap();
    // An argument that the agent does not know; and all the time of the world for HAProxy to wait.
    let wrong = deployed.replace("method=method", "methud=method");
    let wrong = wrong.replace("timeout processing 600ms", "timeout processing 20s");
    assert!(wrong.contains("methud=") && wrong.contains("20s"), "spoe-modsecurity.conf is another: {wrong}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoe.conf");
    std::fs::write(&path, wrong).unwrap();
    let environment = [("MODSEC_SPOE_CONF", path.to_str().unwrap())];
    let haproxy = Haproxy::start_with(shared().agent.address(), &environment);
    let answer = haproxy.curl("/", &[]);
    // A word is the agent's own; HAProxy's after its time-out would be the number 1.
    assert_eq!((answer.verdict.code, answer.verdict.error.as_deref()), (None, Some("invalid")), "{answer:?}");
    assert_eq!(answer.status, 503);

    // An approval looks otherwise in both variables.
    let approval = shared().haproxy.curl("/", &[]);
    assert_eq!((approval.verdict.code, approval.verdict.error, approval.status), (Some(0), None, 200));
}
