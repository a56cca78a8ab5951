//! Is an attack denied wherever it hides, and a clean request let through? The agent without `-f` (built-in settings and
//! the Core Rule Set) behind HAProxy with the deployed configuration.

use crate::support::client::Answer;
use crate::support::site::shared;

/// SQL injection, and cross-site scripting, as text and as they are written in a query.
const SQLI: &str = "1' OR '1'='1";
const SQLI_ENCODED: &str = "1'%20OR%20'1'%3D'1";
const XSS: &str = "<script>alert(1)</script>";
const XSS_ENCODED: &str = "%3Cscript%3Ealert(1)%3C/script%3E";

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=xyzzy";

fn get(target: &str) -> Answer {
    shared().haproxy.curl(target, &[])
}

fn with_header(header: &str) -> Answer {
    shared().haproxy.curl("/", &["-H", header])
}

fn post(content_type: &str, body: &str) -> Answer {
    shared().haproxy.curl("/submit", &["-H", &format!("Content-Type: {content_type}"), "--data-binary", body])
}

fn form_data(value: &str) -> String {
    format!("--xyzzy\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\n{value}\r\n--xyzzy--\r\n")
}

fn xml(value: &str) -> String {
    format!("<?xml version=\"1.0\"?><order><item>{}</item></order>", value.replace('<', "&lt;"))
}

#[test]
fn a_clean_get_reaches_the_application() {
    get("/").assert_clean();
}

#[test]
fn a_clean_query_reaches_the_application() {
    get("/search?q=shoes&page=2").assert_clean();
}

#[test]
fn a_clean_cookie_reaches_the_application() {
    with_header("Cookie: session=8f14e45f; theme=dark").assert_clean();
}

#[test]
fn a_clean_form_reaches_the_application() {
    post(FORM, "name=Ada&comment=hello").assert_clean();
}

#[test]
fn clean_json_reaches_the_application() {
    post("application/json", r#"{"name": "Ada", "tags": ["a", "b"]}"#).assert_clean();
}

#[test]
fn clean_multipart_reaches_the_application() {
    post(MULTIPART, &form_data("hello")).assert_clean();
}

#[test]
fn clean_xml_reaches_the_application() {
    post("text/xml", &xml("hello")).assert_clean();
}

#[test]
fn a_head_request_is_inspected() {
    let answer = shared().haproxy.curl("/", &["--head"]);
    assert_eq!((answer.verdict.code, answer.status), (Some(0), 200));
    shared().haproxy.curl(&format!("/?id={SQLI_ENCODED}"), &["--head"]).assert_denied();
}

#[test]
fn sql_injection_in_the_query_is_denied() {
    get(&format!("/?id={SQLI_ENCODED}")).assert_denied();
}

#[test]
fn cross_site_scripting_in_the_query_is_denied() {
    get(&format!("/?q={XSS_ENCODED}")).assert_denied();
}

#[test]
fn sql_injection_in_a_form_is_denied() {
    post(FORM, &format!("name=Ada&id={SQLI_ENCODED}")).assert_denied();
}

#[test]
fn cross_site_scripting_in_a_form_is_denied() {
    post(FORM, &format!("name=Ada&comment={XSS_ENCODED}")).assert_denied();
}

#[test]
fn sql_injection_in_json_is_denied() {
    post("application/json", &format!(r#"{{"user": {{"id": "{SQLI}"}}}}"#)).assert_denied();
}

#[test]
fn cross_site_scripting_in_json_is_denied() {
    post("application/json", &format!(r#"{{"comments": ["hello", "{XSS}"]}}"#)).assert_denied();
}

#[test]
fn sql_injection_in_multipart_is_denied() {
    post(MULTIPART, &form_data(SQLI)).assert_denied();
}

#[test]
fn cross_site_scripting_in_multipart_is_denied() {
    post(MULTIPART, &form_data(XSS)).assert_denied();
}

#[test]
fn sql_injection_in_xml_is_denied() {
    post("text/xml", &xml("1' UNION SELECT user,password FROM users-- -")).assert_denied();
}

#[test]
fn cross_site_scripting_in_xml_is_denied() {
    post("application/xml", &xml(XSS)).assert_denied();
}

#[test]
fn sql_injection_in_a_cookie_is_denied() {
    with_header(&format!("Cookie: theme=dark; id={SQLI}")).assert_denied();
}

#[test]
fn cross_site_scripting_in_a_cookie_is_denied() {
    with_header(&format!("Cookie: theme={XSS}")).assert_denied();
}

#[test]
fn sql_injection_in_a_header_is_denied() {
    with_header(&format!("User-Agent: {SQLI}")).assert_denied();
}

#[test]
fn cross_site_scripting_in_a_header_is_denied() {
    with_header(&format!("Referer: {XSS}")).assert_denied();
}

#[test]
fn an_attack_in_the_path_is_denied() {
    get("/download/../../../../etc/passwd").assert_denied();
}
