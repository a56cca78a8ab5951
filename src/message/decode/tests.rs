//! Messages, argument by argument, and the requests or complaints that come of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actors::spop::Value;
use actors::spop::value::encode_bytes;
use bytes::{BufMut, BytesMut};

use super::*;
use crate::message::request::{Endpoint, Request};

const HEADERS: Value<'_> = Value::Binary(b"\x04host\x01h\x00\x00");
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A payload of one message with these arguments.
fn message(arguments: &[(&str, Value<'_>)]) -> BytesMut {
    let mut payload = BytesMut::new();
    encode_bytes(REQUEST[0], &mut payload);
    payload.put_u8(arguments.len() as u8);
    for (name, value) in arguments {
        encode_bytes(name.as_bytes(), &mut payload);
        value.encode(&mut payload);
    }
    payload
}

fn read(arguments: &[(&str, Value<'_>)]) -> Result<Request, String> {
    let decoded = decode(&message(arguments).freeze(), "1".to_owned());
    let decoded = decoded.map_err(|failure| {
        assert_eq!(failure.kind, FailureKind::Invalid);
        failure.cause.into_owned()
    });
    decoded.map(|message| match message {
        HttpMessage::Request(request) => request,
        HttpMessage::Response(response) => panic!("a response: {response:?}"),
    })
}

/// The arguments that a request has at least, with some of them changed or added.
fn named<'a>(changes: &[(&'a str, Value<'a>)]) -> Vec<(&'a str, Value<'a>)> {
    let mut arguments: Vec<(&str, Value<'_>)> =
        vec![("method", Value::String(b"GET")), ("path", Value::String(b"/p")), ("headers", HEADERS)];
    arguments.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    arguments.extend(changes);
    arguments
}

fn cause(changes: &[(&str, Value<'_>)]) -> String {
    read(&named(changes)).unwrap_err()
}

#[test]
fn names_go_in_any_order() {
    let mut arguments = named(&[
        ("query", Value::String(b"a=%41")),
        ("version", Value::String(b"2.0")),
        ("unique-id", Value::String(b"u-1")),
        ("src-ip", Value::Ipv4(CLIENT)),
        ("src-port", Value::Int64(4711)),
        ("dst-ip", Value::Ipv6(Ipv6Addr::LOCALHOST)),
        ("dst-port", Value::Int64(443)),
        ("body-size", Value::Int64(3_000_000_000)),
        ("body", Value::Binary(b"x\0y")),
        ("app", Value::String(b"any")),
    ]);
    for _ in 0..arguments.len() {
        arguments.rotate_left(1);
        let request = read(&arguments).unwrap();
        assert_eq!((&request.method[..], &request.uri[..]), (&b"GET"[..], &b"/p?a=%41"[..]));
        assert_eq!((&request.version[..], &request.body[..]), (&b"2.0"[..], &b"x\0y"[..]));
        assert_eq!(request.unique_id.as_deref(), Some(&b"u-1"[..]));
        assert_eq!(request.client, Endpoint { address: Some(CLIENT.into()), port: 4711 });
        assert_eq!(request.server, Endpoint { address: Some(Ipv6Addr::LOCALHOST.into()), port: 443 });
        assert_eq!(request.headers.first("host"), Some(&b"h"[..]));
        assert!(request.truncated);
    }
}

#[test]
fn the_uri_is_the_clients() {
    let uri = |changes: &[(&str, Value<'_>)]| read(&named(changes)).unwrap().uri;
    assert_eq!(uri(&[]), "/p");
    assert_eq!(uri(&[("query", Value::Null)]), "/p");
    assert_eq!(uri(&[("query", Value::String(b""))]), "/p?");
    assert_eq!(uri(&[("path", Value::Null), ("method", Value::String(b"OPTIONS"))]), "*");
    assert_eq!(uri(&[("path", Value::Null), ("method", Value::String(b"CONNECT"))]), "h");
}

#[test]
fn what_is_null_is_absent() {
    let request = read(&named(&[
        ("unique-id", Value::Null),
        ("src-ip", Value::Null),
        ("src-port", Value::Null),
        ("version", Value::Null),
        ("body-size", Value::Null),
        ("body", Value::Null),
    ]))
    .unwrap();
    assert_eq!((request.unique_id, request.client), (None, Endpoint::default()));
    assert_eq!((&request.version[..], &request.body[..], request.truncated), (&b"1.1"[..], &b""[..], false));
}

#[test]
fn an_ipv4_address_mapped_into_ipv6_is_an_ipv4_address() {
    let mapped = Value::Ipv6(CLIENT.to_ipv6_mapped());
    assert_eq!(read(&named(&[("src-ip", mapped)])).unwrap().client.address, Some(IpAddr::V4(CLIENT)));
}

#[test]
fn the_version_comes_with_or_without_its_prefix() {
    let version = Value::String(b"HTTP/1.0");
    assert_eq!(read(&named(&[("version", version)])).unwrap().version, "1.0");
}

/// The C daemon's eight arguments.
fn short<'a>() -> Vec<(&'a str, Value<'a>)> {
    vec![
        ("", Value::String(b"u-1")),
        ("", Value::String(b"POST")),
        ("", Value::String(b"/p")),
        ("", Value::Null),
        ("", Value::String(b"1.1")),
        ("", HEADERS),
        ("", Value::Int64(3)),
        ("", Value::Binary(b"abc")),
    ]
}

#[test]
fn eight_arguments_without_names() {
    let request = read(&short()).unwrap();
    assert_eq!((&request.method[..], &request.uri[..]), (&b"POST"[..], &b"/p"[..]));
    assert_eq!((&request.body[..], request.truncated), (&b"abc"[..], false));
    assert_eq!(request.client, Endpoint::default());
}

#[test]
fn eight_arguments_and_more_are_the_short_form_and_an_address_among_them_is_the_clients() {
    let mut arguments = short();
    arguments.extend([
        ("", Value::String(b"more")),
        ("", Value::Ipv4(CLIENT)),
        ("", Value::Ipv4(Ipv4Addr::LOCALHOST)),
        ("", Value::Int64(1)),
        ("", Value::Null),
    ]);
    let request = read(&arguments).unwrap();
    assert_eq!((&request.method[..], request.client.address), (&b"POST"[..], Some(CLIENT.into())));
}

#[test]
fn twelve_arguments_without_names_with_any_kind_of_address() {
    for (address, expected) in [
        (Value::Ipv4(CLIENT), Some(CLIENT.into())),
        (Value::String(b"192.0.2.1"), Some(CLIENT.into())),
        (Value::Null, None),
    ] {
        let mut arguments = short();
        let connection = [("", address), ("", Value::Int64(1)), ("", Value::Null), ("", Value::String(b"2"))];
        arguments.splice(1..1, connection);
        arguments.push(("", Value::Bool(true)));
        let request = read(&arguments).unwrap();
        assert_eq!((&request.method[..], &request.body[..]), (&b"POST"[..], &b"abc"[..]));
        assert_eq!(request.client, Endpoint { address: expected, port: 1 });
        assert_eq!(request.server.port, 2);
    }
}

#[test]
fn headers_come_as_text_too() {
    let request = read(&named(&[("headers", Value::String(b"Host: h\r\nX: y\r\n\r\n"))])).unwrap();
    assert_eq!(request.headers.first("x"), Some(&b"y"[..]));
}

#[test]
fn what_would_hide_something_from_the_rules_is_an_error_that_says_what() {
    for (changes, expected) in [
        (&[("method", Value::Null)][..], "no argument method"),
        (&[("method", Value::String(b""))], "no argument method"),
        (&[("method", Value::Int64(1))], "argument method is a INT64, expected a string"),
        (&[("path", Value::Null), ("query", Value::String(b"a"))], "argument query without a path"),
        (&[("path", Value::String(b"/a\0b"))], "argument path has a zero byte"),
        (&[("headers", Value::Null)], "argument headers is NULL"),
        (&[("headers", Value::Binary(b"\x04host"))], "the header list is not whole"),
        (&[("headers", Value::Bool(true))], "argument headers is a BOOL"),
        (&[("haeders", HEADERS)], "unknown argument \"haeders\", expected some of app unique-id"),
        (&[("body", Value::Null), ("body", Value::Null)], "argument body given twice"),
        (&[("id", Value::Null), ("unique-id", Value::Null)], "argument unique-id given twice"),
        (&[("", Value::Binary(b"body"))], "argument 4 has no name, though others have"),
        (&[("src-ip", Value::String(b"nowhere"))], "argument src-ip is a STRING, expected an address"),
        (&[("src-port", Value::Int64(65_536))], "argument src-port is a INT64, expected a port"),
        (&[("body-size", Value::Int64(-1))], "argument body-size is a INT64, expected a size"),
    ] {
        let cause = cause(changes);
        assert!(cause.contains(expected), "{cause:?} lacks {expected:?}");
    }
    let mut mixed = short();
    mixed.push(("body", Value::Null));
    assert!(read(&mixed).unwrap_err().contains("argument 9 has the name \"body\", though others have none"));
    assert!(read(&short()[..7]).unwrap_err().contains("7 arguments without names, expected 8 or 12"));
}

#[test]
fn the_message_is_the_one_and_there_is_one() {
    let failure = decode(&Bytes::from_static(b"\x05other\x00"), String::new()).unwrap_err();
    assert_eq!(failure.cause, "message \"other\", expected check-request or check-response");
    assert!(decode(&Bytes::new(), String::new()).is_err());
    let one = message(&named(&[]));
    let twice = [&one[..], &one[..]].concat();
    assert!(decode(&twice.into(), String::new()).unwrap_err().cause.contains("two messages"));
    let with_another = [&b"\x05other\x00"[..], &one[..]].concat();
    assert!(decode(&with_another.into(), String::new()).is_ok());
    let cut = one.split_at(one.len() - 1).0.to_vec();
    assert!(decode(&cut.into(), String::new()).is_err());
}
