//! Build script of every crate that links LibTorch: sets the rpath, so that programs run without `LD_LIBRARY_PATH`. It is
//! the target of the links in `data/toolchain/libtorch`, because `libtorch_cpu.so` looks for its own dependencies relative
//! to its real path.

use std::path::{Path, PathBuf};

#[allow(
    unreachable_pub,
    missing_docs,
    reason = "the build script of torch-device calls it"
)]
pub fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_LIB");
    let Some(folder) = library_folder() else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}

fn library_folder() -> Option<PathBuf> {
    let root = std::env::var_os("LIBTORCH_LIB").or_else(|| std::env::var_os("LIBTORCH"))?;
    let lib = Path::new(&root).join("lib");
    ["libtorch_cpu.so", "libtorch_cpu.dylib"]
        .iter()
        .find_map(|name| lib.join(name).canonicalize().ok())
        .and_then(|library| library.parent().map(Path::to_path_buf))
}
