//! Says which device a setting means here: `which_device auto|cpu|cuda|cuda:N [FOLDER]`, with the folder as a pipeline file's
//! `cuda_library`.

use std::path::PathBuf;
use std::process::ExitCode;

use torch_device::GivenLibrary;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "auto".to_owned());
    let folder = arguments.next().map(PathBuf::from);
    contract::arguments::start_program();
    match torch_device::device(&name, GivenLibrary(folder.as_deref())) {
        Ok(device) => {
            println!("{device:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_status())
        }
    }
}
