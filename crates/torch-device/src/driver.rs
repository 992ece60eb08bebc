//! What NVIDIA's driver says of this machine, asked without LibTorch.

use std::ffi::{c_char, c_int, c_uint};

use libloading::Library;

/// GPUs of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gpus {
    pub(crate) count: usize,
    /// Name of the first, as `NVIDIA H200`.
    pub(crate) name: String,
}

const LIBRARY: &str = "libcuda.so.1";
const NAME_BYTES: usize = 128;

/// The GPUs that the driver shows this program.
///
/// # Errors
/// Why there are none, in words.
#[allow(unsafe_code, reason = "the driver is a C library")]
pub(crate) fn gpus() -> Result<Gpus, String> {
    let problem = |what: &str, status: c_int| format!("NVIDIA's driver fails at {what} (error {status})");
    // SAFETY: the driver's library may run what it likes when it is loaded, as in every program that uses a GPU; the functions are declared
    // as its header has them, and each place written to is as large as it says.
    unsafe {
        let library = Library::new(LIBRARY)
            .map_err(|_| format!("no GPU: there is no NVIDIA driver ({LIBRARY}) here"))?;
        let lacks = |error: libloading::Error| format!("{LIBRARY}: {error}");
        let initialise = library
            .get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit\0")
            .map_err(lacks)?;
        let count_of = library
            .get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDeviceGetCount\0")
            .map_err(lacks)?;
        let name_of = library
            .get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName\0")
            .map_err(lacks)?;
        match initialise(0) {
            0 => {}
            status => return Err(problem("its start", status)),
        }
        let mut count = 0;
        match count_of(&raw mut count) {
            0 => {}
            status => return Err(problem("counting GPUs", status)),
        }
        if count < 1 {
            return Err("NVIDIA's driver shows no GPU to this program".to_owned());
        }
        let mut name = [0_u8; NAME_BYTES];
        // Devices are numbered from 0.
        let name = match name_of(name.as_mut_ptr().cast(), NAME_BYTES as c_int, 0) {
            0 => {
                let length = name.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES);
                String::from_utf8_lossy(&name[..length]).into_owned()
            }
            _ => "GPU".to_owned(),
        };
        // What was started stays so until the program ends.
        std::mem::forget(library);
        Ok(Gpus {
            count: count as usize,
            name,
        })
    }
}
