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

/// Checks every row, and then tells of all that are wrong.
fn all(rows: impl IntoIterator<Item = (&'static str, Answer)>, is_right: fn(&Answer) -> bool) {
    let wrong: Vec<_> = rows.into_iter().filter(|(_, answer)| !is_right(answer)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_clean_reaches_the_application() {
    let rows = [
        ("nothing", get("/")),
        ("a query", get("/search?q=shoes&page=2")),
        ("a cookie", with_header("Cookie: session=8f14e45f; theme=dark")),
        ("a form", post(FORM, "name=Ada&comment=hello")),
        ("JSON", post("application/json", r#"{"name": "Ada", "tags": ["a", "b"]}"#)),
        ("multipart", post(MULTIPART, &form_data("hello"))),
        ("XML", post("text/xml", &xml("hello"))),
    ];
    all(rows, |answer| answer.is_clean());
}

#[test]
fn an_attack_is_denied_wherever_it_hides() {
    let union = "1' UNION SELECT user,password FROM users-- -";
    let rows = [
        ("SQL injection in the query", get(&format!("/?id={SQLI_ENCODED}"))),
        ("cross-site scripting in the query", get(&format!("/?q={XSS_ENCODED}"))),
        ("SQL injection in a form", post(FORM, &format!("name=Ada&id={SQLI_ENCODED}"))),
        ("cross-site scripting in a form", post(FORM, &format!("name=Ada&comment={XSS_ENCODED}"))),
        ("SQL injection in JSON", post("application/json", &format!(r#"{{"user": {{"id": "{SQLI}"}}}}"#))),
        (
            "cross-site scripting in JSON",
            post("application/json", &format!(r#"{{"comments": ["hello", "{XSS}"]}}"#)),
        ),
        ("SQL injection in multipart", post(MULTIPART, &form_data(SQLI))),
        ("cross-site scripting in multipart", post(MULTIPART, &form_data(XSS))),
        ("SQL injection in XML", post("text/xml", &xml(union))),
        ("cross-site scripting in XML", post("application/xml", &xml(XSS))),
        ("SQL injection in a cookie", with_header(&format!("Cookie: theme=dark; id={SQLI}"))),
        ("cross-site scripting in a cookie", with_header(&format!("Cookie: theme={XSS}"))),
        ("SQL injection in a header", with_header(&format!("User-Agent: {SQLI}"))),
        ("cross-site scripting in a header", with_header(&format!("Referer: {XSS}"))),
        ("path traversal", get("/download/../../../../etc/passwd")),
    ];
    all(rows, |answer| answer.is_denied_with(403) && answer.status == 403);
}

#[test]
fn a_head_request_is_inspected() {
    let answer = shared().haproxy.curl("/", &["--head"]);
    assert_eq!((answer.verdict.code, answer.status), (Some(0), 200));
    shared().haproxy.curl(&format!("/?id={SQLI_ENCODED}"), &["--head"]).assert_denied();
}
