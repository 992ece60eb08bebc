//! Writes a made-up run folder, to work on the page without a model: `cargo run -p report --example synthetic FOLDER`.

#[path = "../tests/common/mod.rs"]
mod common;

fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: synthetic FOLDER");
        std::process::exit(2);
    };
    let pipeline = common::write_run(std::path::Path::new(&folder), &common::Shape::default());
    eprintln!("{}", pipeline.display());
}
