//! The page in a real browser: what it shows, by day and night, wide and narrow, by keyboard, and that nothing that a peer
//! sends becomes part of it.

use super::{Subject, of_application};
use crate::support::browser::Browser;
use crate::support::http;
use crate::support::process::signal;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

/// As WebDriver numbers them.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// Where pictures go, for who wants to look at them.
const PICTURES: &str = "ADMIN_PICTURES";

/// An agent to which something has happened: verdicts, a crash, a link.
fn eventful() -> Subject {
    let subject = Subject::with_application(Some("shop"), &[]);
    (0..20).for_each(|_| subject.ask("clean"));
    (0..3).for_each(|_| subject.ask("attack"));
    for engine in subject.agent.engines().into_iter().take(1) {
        signal(engine, "KILL");
    }
    wait_until("the crash and the denials", || {
        let status = subject.get("/status").body;
        status.contains("SIGKILL") && status.matches("\"rules\": [\n").count() == 3
    });
    subject
}

#[test]
fn what_happened_is_on_the_page_and_nothing_of_it_is_run() {
    let subject = eventful();
    let mut link = subject.agent.link();
    let nasty = "/<img src=x onerror=alert(2)>\"'&";
    link.ask(&of_application("<b>app</b>", Message::get(nasty, Some("q=attack&password=secret"))));
    wait_until("the denial", || subject.get("/status").body.contains("onerror"));
    let browser = Browser::start();
    browser.open(&format!("http://{}/", subject.admin));
    let shown = browser.evaluate("return document.body.innerText");
    let shown = shown.as_str().unwrap();
    for wanted in
        ["ready", "<script>alert(1)</script>", nasty, "<b>app</b>", "1001", "SIGKILL", "Listener on"]
    {
        assert!(shown.contains(wanted), "{wanted:?} is not shown: {shown}");
    }
    assert!(!shown.contains("secret"), "the query is shown: {shown}");
    let foreign = "return document.querySelectorAll('script, img, b, iframe, object, form').length";
    assert_eq!(browser.evaluate(foreign), 0, "what a peer sent is part of the page");
    let loaded =
        "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length";
    assert_eq!(browser.evaluate(loaded), 0, "something is loaded");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn it_fits_a_telephone_and_a_desk_by_day_and_night() {
    let subject = eventful();
    let browser = Browser::start();
    let mut backs = Vec::new();
    for (width, height) in [(390, 844), (1440, 900)] {
        for colours in ["light", "dark"] {
            browser.look(width, height, colours);
            browser.open(&format!("http://{}/", subject.admin));
            let overflow = browser.evaluate("return document.documentElement.scrollWidth - innerWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "{width} {colours}: {overflow} pixels too wide");
            let charts = "return [...document.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().width > 0).length";
            assert_eq!(browser.evaluate(charts), 2, "{width} {colours}: both charts are there once");
            backs
                .push(browser.evaluate("return getComputedStyle(document.body).backgroundColor").to_string());
            if let Some(folder) = std::env::var_os(PICTURES) {
                let path = std::path::Path::new(&folder).join(format!("{width}-{colours}.png.base64"));
                std::fs::write(path, browser.screenshot()).unwrap();
            }
        }
    }
    assert!(backs[0] == backs[2] && backs[1] == backs[3] && backs[0] != backs[1], "{backs:?}");
}

#[test]
fn it_can_be_used_by_keyboard_and_read_by_a_screen_reader() {
    let subject = eventful();
    let browser = Browser::start();
    browser.open(&format!("http://{}/", subject.admin));
    browser.press(TAB);
    assert_eq!(browser.evaluate("return document.activeElement.className"), "skip");
    browser.press(ENTER);
    wait_until("the content", || browser.evaluate("return location.hash") == "#main");
    // Each link of the navigation leads to a heading, and each region that scrolls can be reached and has a name.
    let broken = "return [...document.querySelectorAll('a[href^=\"#\"]')]
        .filter(a => !document.getElementById(a.getAttribute('href').slice(1))).length";
    assert_eq!(browser.evaluate(broken), 0);
    let unnamed = "return [...document.querySelectorAll('.scroll, section')]
        .filter(e => !document.getElementById(e.getAttribute('aria-labelledby'))).length
        + [...document.querySelectorAll('.scroll')].filter(e => e.tabIndex !== 0).length
        + [...document.querySelectorAll('svg')].filter(e => e.getAttribute('role') !== 'img' || !e.getAttribute('aria-label')).length
        + [...document.querySelectorAll('th')].filter(e => !e.scope).length";
    assert_eq!(browser.evaluate(unnamed), 0);
    let twice = "const all = [...document.querySelectorAll('[id]')].map(e => e.id); return all.length - new Set(all).size";
    assert_eq!(browser.evaluate(twice), 0, "an id is there twice");
    let order =
        browser.evaluate("return [...document.querySelectorAll('h1, h2, h3')].map(e => e.tagName).join(' ')");
    assert!(order.as_str().unwrap().starts_with("H1 H2"), "{order}");
    browser.click("nav a[href=\"#denials\"]");
    wait_until("the denials", || browser.evaluate("return location.hash") == "#denials");
    browser.click("#refresh");
    let refreshes = "return document.querySelectorAll('meta[http-equiv=refresh]').length";
    wait_until("a page that refreshes", || browser.evaluate(refreshes) == 1);
    browser.click("#refresh");
    wait_until("a page that stays", || browser.evaluate(refreshes) == 0);
}

#[test]
fn it_needs_no_script_and_tells_what_is_wrong() {
    let subject = Subject::start(&[]);
    let mut link = subject.agent.link();
    link.ask(&Message::get("/", Some("q=1")).with("body-size", crate::support::wire::Value::Uint64(100)));
    wait_until("the finding", || subject.get("/").body.contains("option http-buffer-request"));
    let page = http::get(&subject.admin, "/", &[]);
    assert!(
        !page.body.contains("<script") && !page.body.contains(" style=") && !page.body.contains("onclick")
    );
    assert!(page.body.contains("bodies came cut"), "{}", page.body);
    // Two pages have different nonces, each the one of its policy.
    let nonce = |page: &str| page.split("nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let (one, other) = (nonce(&page.head), nonce(&http::get(&subject.admin, "/", &[]).head));
    assert_ne!(one, other);
    assert!(page.body.contains(&format!("<style nonce=\"{one}\">")), "{}", page.head);
}
