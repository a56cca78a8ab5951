//! Generates the bindings of libmodsecurity's C API and compiles the C++ shim in front of it.

use std::env;
use std::path::PathBuf;

const SHIM: &str = "src/ffi/v3/shim";

fn main() {
    let includes = find_libmodsecurity();
    generate_bindings(&includes);
    compile_shim(&includes);
}

/// Asks pkg-config, which also tells cargo what to link; says what to install when there is nothing.
fn find_libmodsecurity() -> Vec<PathBuf> {
    match pkg_config::Config::new().atleast_version("3.0.9").probe("modsecurity") {
        Ok(library) => library.include_paths,
        Err(error) => {
            eprintln!(
                "libmodsecurity 3.0.9 or later is needed (Debian: apt-get install libmodsecurity-dev)\n{error}"
            );
            std::process::exit(1);
        }
    }
}

fn generate_bindings(includes: &[PathBuf]) {
    let header = format!("{SHIM}.h");
    println!("cargo:rerun-if-changed={header}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("modsecurity3.rs");
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
        .write_to_file(out)
        .expect("OUT_DIR is writable");
}

fn compile_shim(includes: &[PathBuf]) {
    println!("cargo:rerun-if-changed={SHIM}.cc");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file(format!("{SHIM}.cc"))
        .includes(includes)
        .compile("modsecurity_shim");
}
