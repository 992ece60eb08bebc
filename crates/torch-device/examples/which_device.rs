//! Says which device a setting means here: `which_device auto|cpu|cuda|cuda:N`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "auto".to_owned());
    contract::arguments::start_program();
    match torch_device::device(&name) {
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
