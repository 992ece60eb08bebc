//! LibTorch for CUDA, found and loaded by a program that was built against LibTorch for CPU.
//!
//! The CPU's library holds everything but the GPU's kernels, which register themselves when `libtorch_cuda.so` is loaded. It must be of the
//! same build as the rest. So where it lies beside the LibTorch that is loaded already, it is loaded too; where it lies elsewhere, the
//! program starts anew with that folder's LibTorch in place of its own.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tch::Cuda;

use crate::driver::{self, Gpus};
use crate::operations;

/// The environment variable that names a folder of PyTorch or LibTorch for CUDA.
pub const VARIABLE: &str = "LIBTORCH_CUDA";

/// Set where the program was started anew, to the folder for whose sake it was.
const STARTED_FOR: &str = "TORCH_DEVICE_STARTED_FOR";

/// The version that tch is made for.
const VERSION: &str = "2.11.0";

const CUDA_LIBRARY: &str = "libtorch_cuda.so";
const CPU_LIBRARY: &str = "libtorch_cpu.so";

/// LibTorch for CUDA, loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) gpus: usize,
    /// Name of the first.
    pub(crate) name: String,
    /// What it is, for a person.
    pub(crate) description: String,
}

/// Why no GPU is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is none that a driver shows.
    Gpu(String),
    /// There is one, and no library for it that can be used.
    Library { gpus: Gpus, problems: Vec<String> },
}

/// Loads LibTorch for CUDA, unless that was done before.
pub(crate) fn load() -> Result<Loaded, Missing> {
    let gpus = driver::gpus().map_err(Missing::Gpu)?;
    let mut problems = Vec::new();
    let own = folder_of_loaded(CPU_LIBRARY);
    // With LD_PRELOAD, or in a program that was linked against it.
    if let Some(folder) = folder_of_loaded(CUDA_LIBRARY) {
        match open(&folder) {
            Ok(()) => return finish(&gpus, &folder, problems),
            Err(problem) => problems.push(problem),
        }
    }
    for (origin, folder) in places(own.as_deref()) {
        let found = library_folder(&folder)
            .ok_or_else(|| format!("{origin} ({}) holds no {CUDA_LIBRARY}", folder.display()))
            .and_then(|found| check_version(&found).map(|()| found));
        let found = match found {
            Ok(found) => found,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let is_own = own.as_ref().is_none_or(|own| same_folder(own, &found));
        let loaded = if is_own { open(&found) } else { start_anew(&found) };
        match loaded {
            Ok(()) => return finish(&gpus, &found, problems),
            Err(problem) => problems.push(problem),
        }
    }
    Err(Missing::Library { gpus, problems })
}

fn finish(gpus: &Gpus, folder: &Path, mut problems: Vec<String>) -> Result<Loaded, Missing> {
    operations::keep_attention_from_cudnn();
    let seen = Cuda::device_count();
    if seen < 1 {
        problems.push(format!(
            "LibTorch for CUDA of {} was loaded and sees no GPU; the driver may be older than it needs",
            folder.display()
        ));
        return Err(Missing::Library {
            gpus: gpus.clone(),
            problems,
        });
    }
    let version = version_of(folder).unwrap_or_else(|| "of unknown version".to_owned());
    Ok(Loaded {
        gpus: seen as usize,
        name: gpus.name.clone(),
        description: format!("{}, with LibTorch {version} of {}", gpus.name, folder.display()),
    })
}

/// Where to look, in order, and what each place is called.
fn places(own: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        // What somebody named is meant, and nothing else.
        return vec![(VARIABLE, PathBuf::from(folder))];
    }
    let mut places = Vec::new();
    if let Some(own) = own {
        places.push(("the LibTorch of set-up", own.to_path_buf()));
    }
    let pythons = [env::var_os("PYTHON"), Some(OsString::from("python3"))];
    let torches = pythons
        .into_iter()
        .flatten()
        .filter_map(|python| torch_of(&python));
    places.extend(torches.map(|folder| ("the torch of Python", folder)));
    places
}

/// The folder of the package torch that a Python would import.
fn torch_of(python: &OsString) -> Option<PathBuf> {
    const ASK: &str =
        "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')";
    let asked = Command::new(python).args(["-c", ASK]).output().ok()?;
    let origin = String::from_utf8(asked.stdout).ok()?;
    let package = Path::new(origin.trim()).parent()?;
    package.is_dir().then(|| package.to_path_buf())
}

/// The folder that holds the library: `folder` itself, or as LibTorch, PyTorch and Python's packages have it below.
fn library_folder(folder: &Path) -> Option<PathBuf> {
    ["", "lib", "torch/lib"]
        .iter()
        .map(|below| folder.join(below))
        .find_map(|folder| folder.join(CUDA_LIBRARY).canonicalize().ok())
        .and_then(|library| library.parent().map(Path::to_path_buf))
}

fn check_version(folder: &Path) -> Result<(), String> {
    match version_of(folder) {
        Some(version) if version.split('+').next() != Some(VERSION) => Err(format!(
            "{} is PyTorch {version}, and this program needs {VERSION}",
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// The version that stands beside a folder of libraries, as `2.11.0+cu130`.
fn version_of(folder: &Path) -> Option<String> {
    let package = folder.parent()?;
    if let Ok(version) = fs::read_to_string(package.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let python = fs::read_to_string(package.join("version.py")).ok()?;
    let line = python.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split(['\'', '"']).nth(1)?.to_owned())
}

fn same_folder(first: &Path, second: &Path) -> bool {
    let real = |folder: &Path| folder.canonicalize().ok();
    real(first).is_some_and(|first| Some(first) == real(second))
}

/// The folder of a library that this program has loaded, where the system says what is loaded.
fn folder_of_loaded(library: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|start| &line[start..]));
    let mut paths = paths.map(Path::new);
    let path = paths.find(|path| path.file_name().is_some_and(|name| name == library))?;
    path.parent().map(Path::to_path_buf)
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "a library runs what it likes when it is loaded")]
fn open(folder: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let library = folder.join(CUDA_LIBRARY);
    // SAFETY: LibTorch's own library, of the version that this program was built for, before any tensor is made.
    let opened = unsafe { Library::open(Some(&library), RTLD_NOW | RTLD_GLOBAL) };
    match opened {
        Ok(opened) => {
            // Its kernels are in use until the program ends.
            std::mem::forget(opened);
            Ok(())
        }
        Err(error) => Err(format!("{} cannot be loaded: {error}", library.display())),
    }
}

#[cfg(not(unix))]
fn open(folder: &Path) -> Result<(), String> {
    Err(format!("{} cannot be loaded on this system", folder.display()))
}

/// Starts the program anew with the LibTorch of another folder; returns only where that does not work.
#[cfg(unix)]
fn start_anew(folder: &Path) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    if env::var_os(STARTED_FOR).is_some_and(|earlier| earlier == folder) {
        return Err(format!(
            "this program does not take the LibTorch of {} in place of its own; add the folder to LD_LIBRARY_PATH",
            folder.display()
        ));
    }
    let program =
        env::current_exe().map_err(|error| format!("this program does not find itself: {error}"))?;
    let mut search = vec![folder.to_path_buf()];
    if let Some(earlier) = env::var_os("LD_LIBRARY_PATH") {
        search.extend(env::split_paths(&earlier));
    }
    let search = env::join_paths(search).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command
        .args(arguments)
        .env("LD_LIBRARY_PATH", search)
        .env(VARIABLE, folder)
        .env(STARTED_FOR, folder)
        .exec();
    Err(format!(
        "cannot start anew with the LibTorch of {}: {error}",
        folder.display()
    ))
}

#[cfg(not(unix))]
fn start_anew(folder: &Path) -> Result<(), String> {
    Err(format!("{} cannot be used on this system", folder.display()))
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu(reason) => write!(formatter, "{reason}. device = \"cpu\" computes on the processor"),
            Self::Library { gpus, problems } => {
                write!(
                    formatter,
                    "there is a GPU ({}) and no LibTorch {VERSION} for CUDA that can be used. `make setup CUDA=1` fetches it (3 GB), or name \
                     the folder of a PyTorch {VERSION} for CUDA in {VARIABLE}; device = \"cpu\" computes on the processor",
                    gpus.name
                )?;
                for problem in problems {
                    write!(formatter, "\n  {problem}")?;
                }
                Ok(())
            }
        }
    }
}
