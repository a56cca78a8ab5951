//! Programs that drive an engine without the agent: tests/data/direct.c and tests/data/direct2.c.

#![allow(dead_code)] // Who compiles this module uses the part that it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A request, as the programs read it.
pub struct Direct<'a> {
    pub method: &'a [u8],
    pub uri: &'a [u8],
    /// Without `HTTP/`.
    pub version: &'a [u8],
    pub body: &'a [u8],
    pub headers: &'a [(Vec<u8>, Vec<u8>)],
}

impl Direct<'_> {
    /// The bytes for the program.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in [self.method, self.uri, self.version, self.body] {
            text(&mut out, part);
        }
        number(&mut out, self.headers.len());
        for (name, value) in self.headers {
            text(&mut out, name);
            text(&mut out, value);
        }
        out
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

/// With libmodsecurity 3, as it is installed.
pub fn compile_3(program: &Path) {
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Werror", "-o"]).arg(program).arg(source("direct.c"));
    assert!(command.arg("-lmodsecurity").status().expect("cannot start cc").success());
}

/// With libmodsecurity 3 in C++.
pub fn compile_3_from(file: &str, program: &Path) {
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-O1", "-Wall", "-Werror", "-o"]).arg(program).arg(source(file));
    assert!(command.arg("-lmodsecurity").status().expect("cannot start c++").success());
}

/// What ModSecurity 2.9 needs.
const LIBRARIES: [&str; 6] = ["apr-util-1", "apr-1", "libxml-2.0", "libpcre2-8", "yajl", "libcurl"];

/// With ModSecurity 2.9 as deploy/modsecurity2.sh has built it, and nothing else of the project.
pub fn compile_2(program: &Path) {
    compile_2_from("direct2.c", program);
}

/// The same of another file of tests/data.
pub fn compile_2_from(file: &str, program: &Path) {
    compile_2_with(file, &[], program);
}

/// The same with the program's own shim: its C files, and what it replaces in the engine.
pub fn compile_2_with_shim(file: &str, program: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shim = root.join("src/ffi/v2");
    let mut more = vec![format!("-I{}", shim.display()), "-std=gnu11".to_owned()];
    more.extend(
        ["load.c", "names.c", "transaction.c", "wraps.c"].map(|file| shim.join(file).display().to_string()),
    );
    let build = std::fs::read_to_string(root.join("build.rs")).unwrap();
    let list = build.split_once("const WRAPPED").unwrap().1.split_once("];").unwrap().0;
    more.extend(list.split('"').skip(1).step_by(2).map(|name| format!("-Wl,--wrap={name}")));
    compile_2_with(file, &more, program);
}

fn compile_2_with(file: &str, more: &[String], program: &Path) {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/modsecurity2");
    let prefix = std::env::var_os("MODSECURITY2").map_or(usual, PathBuf::from);
    let defines = std::fs::read_to_string(prefix.join("defines")).expect("run deploy/modsecurity2.sh first");
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wall", "-Werror", "-o"]).arg(program).args(defines.lines());
    for folder in ["include/modsecurity2", "include/httpd"] {
        command.arg("-I").arg(prefix.join(folder));
    }
    command.args(pkg_config("--cflags")).arg(source(file)).args(more);
    command.arg(prefix.join("lib/libmodsecurity2.a")).args(pkg_config("--libs")).arg("-lm");
    assert!(command.status().expect("cannot start cc").success());
}

fn pkg_config(what: &str) -> Vec<String> {
    let output =
        Command::new("pkg-config").arg(what).args(LIBRARIES).output().expect("cannot start pkg-config");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}
