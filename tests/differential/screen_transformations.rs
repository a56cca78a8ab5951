//! Does the screen transform values as each engine does? Random values go through the engine's own functions
//! (tests/data/transform.cc and transform2.c) and through the screen's, one by one and in rows.
//!
//! `SCREEN_SEED` gives other values (without it they are new in each run, and the seed is printed), `SCREEN_VALUES` more of
//! them for each engine.

use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::transformations::{Applied, Transformation};

use crate::random::rng::Rng;
use crate::setting;
use crate::support::direct::{compile_2_from, compile_3_from};
use crate::support::process::{end, guarded, spawn};

/// Values that are with the engine at a time.
const BATCH: usize = 4096;

/// One value, and what is to become of it.
struct Case {
    steps: Vec<Transformation>,
    names: String,
    value: Vec<u8>,
}

/// The pieces of which the values are made: what some transformation takes for more than itself, whole and in halves.
const PIECES: &[&[u8]] = &[
    b"a",
    b"B",
    b"f",
    b"F",
    b"0",
    b"1",
    b"7",
    b"8",
    b"9",
    b"x",
    b"X",
    b"u",
    b"U",
    b"n",
    b"t",
    b" ",
    b"  ",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"%",
    b"%41",
    b"%2",
    b"%u",
    b"%u0041",
    b"%U00e9",
    b"%uff1c",
    b"%uFF5e",
    b"%uff5f",
    b"%uff00",
    b"%u12g4",
    b"%zz",
    b"+",
    b"\\",
    b"\\x41",
    b"\\X4",
    b"\\u0041",
    b"\\uff1c",
    b"\\uFF5F",
    b"\\101",
    b"\\477",
    b"\\18",
    b"\\n",
    b"\\v",
    b"\\?",
    b"\\'",
    b"\\\"",
    b"\\\n",
    b"\\41 ",
    b"\\000041",
    b"\\00ff1c",
    b"\\0ff1c",
    b"\\ff1c ",
    b"\\12ff1c",
    b"\\1ff1c",
    b"&",
    b"&lt;",
    b"&GT",
    b"&quot;",
    b"&amp;",
    b"&nbsp;",
    b"&#",
    b"&#x",
    b"&#60;",
    b"&#x3c",
    b"&#X3C;",
    b"&#0;",
    b"&#9223372036854775807;",
    b"&#9223372036854775808;",
    b"&#x7fffffffffffffff;",
    b"&#x8000000000000000",
    b"&ltx;",
    b"&#xg",
    b"lt;",
    b";",
    b"#",
    b"--",
    b"-->",
    b"<!--",
    b"<!-",
    b"/*",
    b"*/",
    b"/*/",
    b"*",
    b"-",
    b"/",
    b"//",
    b"///",
    b".",
    b"..",
    b"./",
    b"../",
    b"/.",
    b"/..",
    b"a../",
    b"a./",
    b"...",
    b"\\\\",
    b"/\\",
    b"/\\\\",
    b"..\\",
    b"\\..",
    b"\"",
    b"'",
    b"^",
    b",",
    b"(",
    b" (",
    b" /",
    b"\xa0",
    b"\xc2\xa0",
    b"\xc2",
    b"\xc3\xa9",
    b"\xc0\x80",
    b"\xe2\x82\xac",
    b"\xe2\x82",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\xf0\x8d\xa0\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xf8",
    b"\xff",
    b"\x80",
    b"\0\xe9",
    b"\0a",
    b"QUJD",
    b"QUI=",
    b"QQ==",
    b"Q",
    b"=",
    b"==",
    b"===",
    b" \n",
    b" \r\n",
    b"+/",
    b"select",
    b"UNION",
];

/// Neighbours among the pieces, which belong together, of which a value is made.
const FAMILY: usize = 14;

fn value(rng: &mut Rng) -> Vec<u8> {
    let mut value = Vec::new();
    let alphabet = rng.below(4);
    let first = rng.below(PIECES.len() - FAMILY);
    // Long ones now and then: plain values are looked at in blocks.
    let most = if rng.one_in(10) { 60 } else { 9 };
    for _ in 0..rng.below(most) {
        match (alphabet, rng.below(8)) {
            (0, _) => value.push(rng.number() as u8),
            (1, _) => value.extend_from_slice(PIECES[first + rng.below(FAMILY)]),
            (3, 1..) if most > 9 => value.extend_from_slice(b"plain"),
            (_, 0) => value.push(rng.number() as u8),
            _ => value.extend_from_slice(PIECES[rng.below(PIECES.len())]),
        }
    }
    if rng.one_in(4) {
        value.truncate(rng.below(value.len() + 1));
    }
    value
}

fn case(rng: &mut Rng) -> Case {
    let all: Vec<_> = Transformation::names().filter(|(name, _)| *name != "none").collect();
    let count = if rng.one_in(2) { 1 } else { rng.within(2, 6) };
    let row: Vec<_> = (0..count).map(|_| all[rng.below(all.len())]).collect();
    let names: Vec<_> = row.iter().map(|(name, _)| name.replace("normalis", "normaliz")).collect();
    Case { steps: row.iter().map(|(_, step)| *step).collect(), names: names.join(","), value: value(rng) }
}

/// What the screen makes of the value; none where it says that it cannot tell.
fn screen(version: EngineVersion, case: &Case) -> Option<Vec<u8>> {
    let (mut value, mut out) = (case.value.clone(), b"left over".to_vec());
    for (index, step) in case.steps.iter().enumerate() {
        match step.apply(version, &value, &mut out) {
            Applied::Unchanged => {}
            Applied::Changed => {
                assert_ne!(value, out, "{step:?} says that it has changed {}", value.escape_ascii());
                if step.change_spoils(version, &case.steps[index + 1..]) {
                    return None;
                }
                std::mem::swap(&mut value, &mut out);
            }
            Applied::NotModelled => return None,
        }
    }
    Some(value)
}

struct Engine {
    child: Child,
    results: BufReader<ChildStdout>,
}

impl Engine {
    fn start(version: EngineVersion) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("transform");
        match version {
            EngineVersion::V2 => compile_2_from("transform2.c", &program),
            EngineVersion::V3 => compile_3_from("transform.cc", &program),
        }
        let mut command = guarded(program.to_str().unwrap());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command);
        // The program answers once, so that it runs before its file is gone.
        let results = BufReader::new(child.stdout.take().unwrap());
        let mut engine = Self { child, results };
        let first = Case { steps: Vec::new(), names: "lowercase".to_owned(), value: b"A".to_vec() };
        assert_eq!(engine.transform(&[first]), [b"a"]);
        engine
    }

    fn transform(&mut self, cases: &[Case]) -> Vec<Vec<u8>> {
        let (requests, results) = (self.child.stdin.as_mut().unwrap(), &mut self.results);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut requests = BufWriter::with_capacity(1 << 16, requests);
                for text in cases.iter().flat_map(|case| [case.names.as_bytes(), &case.value]) {
                    requests.write_all(&u32::try_from(text.len()).unwrap().to_be_bytes()).unwrap();
                    requests.write_all(text).unwrap();
                }
                requests.flush().unwrap();
            });
            let mut read = || {
                let mut length = [0; 4];
                results.read_exact(&mut length).expect("the engine itself dies");
                let mut text = vec![0; u32::from_be_bytes(length) as usize];
                results.read_exact(&mut text).unwrap();
                text
            };
            cases.iter().map(|_| read()).collect()
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn compare(version: EngineVersion) {
    let fresh = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = std::env::var("SCREEN_SEED").map_or_else(|_| fresh(), |text| text.parse().unwrap());
    let count = setting("SCREEN_VALUES", 300_000);
    println!("SCREEN_SEED={seed} SCREEN_VALUES={count}");
    let mut rng = Rng::new(seed);
    let mut engine = Engine::start(version);
    let (mut compared, mut changed) = (0, 0);
    for _ in 0..count.div_ceil(BATCH as u64) {
        let cases: Vec<_> = (0..BATCH).map(|_| case(&mut rng)).collect();
        for (case, expected) in cases.iter().zip(engine.transform(&cases)) {
            let Some(result) = screen(version, case) else { continue };
            compared += 1;
            changed += u64::from(result != case.value);
            assert!(
                result == expected,
                "{version:?} t:{} of b\"{}\"\nengine b\"{}\"\nscreen b\"{}\"",
                case.names,
                case.value.escape_ascii(),
                expected.escape_ascii(),
                result.escape_ascii()
            );
        }
    }
    println!("{compared} compared, {changed} of them changed");
    assert!(compared > count * 9 / 10 && changed > count / 4, "hardly anything is compared");
}

#[test]
fn the_screen_transforms_values_as_libmodsecurity_3_does() {
    compare(EngineVersion::V3);
}

#[cfg(feature = "engine2")]
#[test]
fn the_screen_transforms_values_as_modsecurity_2_does() {
    compare(EngineVersion::V2);
}
