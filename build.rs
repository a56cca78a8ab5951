//! Generates the bindings of each engine's C functions and compiles the shim in front of it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

const SHIM2: &str = "src/ffi/v2";
const SHIM3: &str = "src/ffi/v3/shim";

/// What ModSecurity 2.9 calls and gets from `src/ffi/v2/wraps.c` (and `load.c`) instead.
const WRAPPED: [&str; 16] = [
    "ap_get_server_banner",
    "ap_get_server_name",
    "ap_unixd_set_global_mutex_perms",
    "apr_allocator_create",
    "apr_allocator_destroy",
    "apr_allocator_max_free_set",
    "apr_allocator_owner_set",
    "apr_global_mutex_child_init",
    "apr_global_mutex_create",
    "apr_global_mutex_lock",
    "apr_global_mutex_unlock",
    "apr_socket_close",
    "merge_directory_configs",
    "modsecurity_request_body_end",
    "modsecurity_tx_init",
    "msc_alert",
];

fn main() {
    generate_pcre2_bindings();
    generate_yajl_bindings();
    if env::var_os("CARGO_FEATURE_ENGINE2").is_some() {
        let prefix = find_modsecurity2();
        generate_bindings2();
        compile_shim2(&prefix);
        link_modsecurity2(&prefix);
    }
    if env::var_os("CARGO_FEATURE_ENGINE3").is_some() {
        let includes = find_libmodsecurity();
        generate_bindings3(&includes);
        compile_shim3(&includes);
    }
}

/// PCRE2 is what both engines compile regular expressions with; linked for its own sake, whatever engine there is.
fn generate_pcre2_bindings() {
    let library = pkg_config::Config::new().probe("libpcre2-8").unwrap_or_else(|error| {
        fail(&format!("libpcre2-8 is needed (Debian: apt-get install libpcre2-dev)\n{error}"))
    });
    bindgen::Builder::default()
        .header_contents("pcre2_8.h", "#define PCRE2_CODE_UNIT_WIDTH 8\n#include <pcre2.h>\n")
        .clang_args(library.include_paths.iter().map(|path| format!("-I{}", path.display())))
        .allowlist_function("pcre2_(compile|code_free|config|get_error_message|get_ovector_pointer)_8")
        .allowlist_function("pcre2_(jit_compile|jit_match|match|set_match_limit|set_depth_limit)_8")
        .allowlist_function("pcre2_match_(context|data)_(create|free)_8")
        .allowlist_var("PCRE2_(CASELESS|DOLLAR_ENDONLY|DOTALL|MULTILINE|NO_JIT|JIT_COMPLETE)")
        .allowlist_var("PCRE2_(CONFIG_NEWLINE|NEWLINE_LF|ERROR_NOMATCH|ERROR_JIT_STACKLIMIT)")
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .expect("bindgen reads PCRE2's header (is libclang-dev installed?)")
        .write_to_file(out("pcre2.rs"))
        .expect("OUT_DIR is writable");
}

/// yajl is what both engines read JSON with; the screen reads it with the same library.
fn generate_yajl_bindings() {
    let library = pkg_config::Config::new().probe("yajl").unwrap_or_else(|error| {
        fail(&format!("yajl is needed (Debian: apt-get install libyajl-dev)\n{error}"))
    });
    bindgen::Builder::default()
        .header_contents("yajl.h", "#include <yajl/yajl_parse.h>\n")
        .clang_args(library.include_paths.iter().map(|path| format!("-I{}", path.display())))
        .allowlist_function("yajl_(alloc|free|parse|complete_parse)")
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .expect("bindgen reads yajl's header (is libclang-dev installed?)")
        .write_to_file(out("yajl.rs"))
        .expect("OUT_DIR is writable");
}

/// Ends the build with a message.
fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1);
}

/// Where deploy/modsecurity2.sh has built it.
fn find_modsecurity2() -> PathBuf {
    println!("cargo:rerun-if-env-changed=MODSECURITY2");
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/modsecurity2");
    let prefix = env::var_os("MODSECURITY2").map_or(usual, PathBuf::from);
    println!("cargo:rerun-if-changed={}", prefix.join("made-by").display());
    match fs::read_to_string(prefix.join("version")) {
        Ok(version) => println!("cargo:rustc-env=MODSECURITY2_VERSION={}", version.trim()),
        Err(error) => fail(&format!(
            "ModSecurity 2.9 is needed for the feature engine2: run deploy/modsecurity2.sh, or say where it is with \
             MODSECURITY2\n{}: {error}",
            prefix.display()
        )),
    }
    prefix
}

fn generate_bindings2() {
    let header = format!("{SHIM2}/shim.h");
    println!("cargo:rerun-if-changed={header}");
    bindgen::Builder::default()
        .header(header)
        .allowlist_function("ms2_.*")
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .expect("bindgen reads the shim's header (is libclang-dev installed?)")
        .write_to_file(out("modsecurity2.rs"))
        .expect("OUT_DIR is writable");
}

fn compile_shim2(prefix: &Path) {
    let mut build = cc::Build::new();
    for file in ["injection.c", "load.c", "names.c", "transaction.c", "wraps.c", "internal.h"] {
        let path = format!("{SHIM2}/{file}");
        println!("cargo:rerun-if-changed={path}");
        if file.ends_with(".c") {
            build.file(path);
        }
    }
    build.std("gnu11").include(prefix.join("include/modsecurity2")).include(prefix.join("include/httpd"));
    // The layout of the engine's structures depends on them.
    let defines = fs::read_to_string(prefix.join("defines")).expect("modsecurity2.sh writes it");
    for define in defines.lines() {
        build.flag(define);
    }
    for library in libraries2() {
        build.includes(library.include_paths);
    }
    build.compile("modsecurity2_shim");
}

/// The shim's archive comes first: it asks for the engine's, and that for the libraries.
fn link_modsecurity2(prefix: &Path) {
    println!("cargo:rustc-link-search=native={}", prefix.join("lib").display());
    println!("cargo:rustc-link-lib=static=modsecurity2");
    libraries2();
    for name in WRAPPED {
        println!("cargo:rustc-link-arg=-Wl,--wrap={name}");
    }
}

/// What the engine needs. Asking for them also tells cargo to link them.
fn libraries2() -> Vec<pkg_config::Library> {
    let names = ["apr-util-1", "apr-1", "libxml-2.0", "libpcre2-8", "yajl", "libcurl"];
    names
        .map(|name| {
            let found = pkg_config::Config::new().probe(name);
            found.unwrap_or_else(|error| fail(&format!("{name} is needed for ModSecurity 2.9\n{error}")))
        })
        .into()
}

/// Asks pkg-config, which also tells cargo what to link; says what to install when there is nothing.
fn find_libmodsecurity() -> Vec<PathBuf> {
    match pkg_config::Config::new().atleast_version("3.0.9").probe("modsecurity") {
        Ok(library) => library.include_paths,
        Err(error) => fail(&format!(
            "libmodsecurity 3.0.9 or later is needed (Debian: apt-get install libmodsecurity-dev)\n{error}"
        )),
    }
}

fn generate_bindings3(includes: &[PathBuf]) {
    let header = format!("{SHIM3}.h");
    println!("cargo:rerun-if-changed={header}");
    bindgen::Builder::default()
        .header(header)
        .clang_args(includes.iter().map(|path| format!("-I{}", path.display())))
        .allowlist_function("mss_.*")
        .allowlist_function("msc_(init|cleanup|who_am_i|set_connector_info)")
        .allowlist_function("msc_(create_rules_set|rules_cleanup|transaction_cleanup)")
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .expect("bindgen reads the headers of libmodsecurity (is libclang-dev installed?)")
        .write_to_file(out("modsecurity3.rs"))
        .expect("OUT_DIR is writable");
}

fn compile_shim3(includes: &[PathBuf]) {
    println!("cargo:rerun-if-changed={SHIM3}.cc");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file(format!("{SHIM3}.cc"))
        .includes(includes)
        .compile("modsecurity_shim");
}

fn out(file: &str) -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(file)
}
