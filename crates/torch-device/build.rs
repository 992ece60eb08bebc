//! Compiles the operations that tch does not bind, with LibTorch's headers, and tells programs where LibTorch's libraries are.

use std::path::{Path, PathBuf};

#[path = "../../scripts/link_libtorch.rs"]
mod link_libtorch;

fn main() {
    link_libtorch::main();
    let source = "src/operations.cpp";
    println!("cargo:rerun-if-changed={source}");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let Some(headers) = headers() else {
        println!("cargo:warning=LibTorch's headers were not found; torch-sys names its libraries only");
        return;
    };
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(&headers)
        .include(headers.join("torch/csrc/api/include"))
        .file(source)
        .compile("torch_device_operations");
}

/// The folder `include`, of whoever gave torch-sys its libraries.
fn headers() -> Option<PathBuf> {
    let from_libraries = || {
        let library = std::env::var_os("DEP_TCH_LIBTORCH_LIB")?;
        Path::new(&library).parent().map(Path::to_path_buf)
    };
    let root = std::env::var_os("LIBTORCH_INCLUDE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("LIBTORCH").map(PathBuf::from))
        .or_else(from_libraries)?;
    let headers = root.join("include");
    headers.join("ATen/ATen.h").is_file().then_some(headers)
}
