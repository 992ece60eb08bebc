//! Which device a setting means, on machines that a driver made for the purpose describes. The driver is a C library of a few lines, which
//! stands before the machine's own in the search.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A driver that shows so many GPUs.
fn driver(gpus: usize, folder: &Path) {
    let source = format!(
        "int cuInit(unsigned flags) {{ return 0; }}
         int cuDeviceGetCount(int *count) {{ *count = {gpus}; return 0; }}
         int cuDeviceGetName(char *name, int length, int device) {{ __builtin_strncpy(name, \"Test 9000\", length); return 0; }}"
    );
    library(&source, &folder.join("libcuda.so.1"));
}

/// Compiles a C library.
fn library(source: &str, file: &Path) {
    let text = file.with_extension("c");
    fs::write(&text, source).unwrap();
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-o"])
        .args([file, &text])
        .status()
        .unwrap();
    assert!(compiler.success());
}

/// What the example says, with the driver in `driver`, and whatever else is given in the environment.
fn asked(name: &str, driver: &Path, library: Option<&Path>) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/which_device");
    let mut command = Command::new(program);
    command
        .arg(name)
        .env("LD_LIBRARY_PATH", driver)
        .env_remove("LIBTORCH_CUDA");
    if let Some(library) = library {
        command.env("LIBTORCH_CUDA", library);
    }
    command.output().unwrap()
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The folder of the LibTorch that this test has loaded.
fn own_folder() -> PathBuf {
    assert!(tch::Tensor::from_slice(&[1.0]).numel() == 1);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps
        .lines()
        .find(|line| line.ends_with("/libtorch_cpu.so"))
        .unwrap();
    Path::new(&path[path.find('/').unwrap()..])
        .parent()
        .unwrap()
        .to_path_buf()
}

#[test]
fn a_machine_without_a_gpu_computes_on_its_processor() {
    let folder = tempfile::tempdir().unwrap();
    driver(0, folder.path());
    for name in ["auto", "cpu"] {
        let output = asked(name, folder.path(), None);
        assert_eq!(
            (said(&output), error_of(&output)),
            ("Cpu".to_owned(), String::new()),
            "{name}"
        );
    }
    for name in ["cuda", "cuda:1"] {
        let output = asked(name, folder.path(), None);
        assert_eq!(output.status.code(), Some(2));
        let error = error_of(&output);
        assert!(
            error.contains(&format!("device `{name}`: NVIDIA's driver shows no GPU")),
            "{error}"
        );
        assert!(error.contains("device = \"cpu\""), "{error}");
    }
    let output = asked("gpu", folder.path(), None);
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("expected auto, cpu, cuda, or cuda:N"));
}

#[test]
fn a_gpu_without_a_library_is_refused_with_the_way_out_and_auto_says_so() {
    let folder = tempfile::tempdir().unwrap();
    driver(1, folder.path());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let other = folder.path().join("torch");
    fs::create_dir_all(other.join("lib")).unwrap();
    fs::write(other.join("lib/libtorch_cuda.so"), "").unwrap();
    fs::write(
        other.join("version.py"),
        "__all__ = []\n__version__ = '2.9.1+cu128'\n",
    )
    .unwrap();
    for (library, problem) in [
        (&empty, "LIBTORCH_CUDA (".to_owned()),
        (
            &other,
            "is PyTorch 2.9.1+cu128, and this program needs 2.11.0".to_owned(),
        ),
        (&other.join("lib"), "is PyTorch 2.9.1+cu128".to_owned()),
    ] {
        let output = asked("cuda", folder.path(), Some(library));
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(2), "{error}");
        for part in [
            "a GPU (Test 9000)",
            "make setup CUDA=1",
            "LIBTORCH_CUDA",
            &problem,
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let output = asked("auto", folder.path(), Some(library));
        let warning = error_of(&output);
        assert_eq!(said(&output), "Cpu");
        assert!(
            warning.contains("computing on the processor: there is a GPU (Test 9000)"),
            "{warning}"
        );
        assert!(warning.contains(&problem), "{warning}");
    }
}

/// The library of set-up is that for CUDA too; what it needs of CUDA may be there or not.
#[test]
fn the_library_of_set_up_is_tried_first() {
    let folder = tempfile::tempdir().unwrap();
    driver(1, folder.path());
    let output = asked("cuda", folder.path(), None);
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    let own = own_folder();
    if own.join("libtorch_cuda.so").is_file() {
        let tried = format!("{}/libtorch_cuda.so cannot be loaded", own.display());
        let loaded = format!(
            "LibTorch for CUDA of {} was loaded and sees no GPU",
            own.display()
        );
        assert!(error.contains(&tried) || error.contains(&loaded), "{error}");
    }
}

/// A LibTorch in another folder takes the place of the program's own as a whole, with one start more. This one's library for CUDA is empty,
/// so that it sees no GPU.
#[test]
fn a_library_elsewhere_takes_the_place_of_the_programs_own() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    driver(1, folder.path());
    let package = folder.path().join("torch");
    let libraries = package.join("lib");
    fs::create_dir_all(&libraries).unwrap();
    fs::write(package.join("version.py"), "__version__ = '2.11.0+test'\n").unwrap();
    // A link would lead back to where it points to.
    for entry in fs::read_dir(own_folder()).unwrap() {
        let file = entry.unwrap();
        let name = file.file_name();
        let is_wanted = ["libtorch_cpu", "libc10.", "libgomp", "libtorch."].iter();
        if is_wanted
            .into_iter()
            .any(|wanted| name.to_string_lossy().starts_with(wanted))
        {
            let target = libraries.join(&name);
            if fs::hard_link(file.path(), &target).is_err() {
                fs::copy(file.path(), &target).unwrap();
            }
        }
    }
    library("int empty;", &libraries.join("libtorch_cuda.so"));
    // What the CPU's library asks for of CUDA lies beside the package.
    let mut search = vec![folder.path().to_path_buf()];
    let nvidia = own_folder().join("../../nvidia");
    for entry in fs::read_dir(&nvidia).into_iter().flatten().flatten() {
        search.push(entry.path().join("lib"));
    }
    let search = std::env::join_paths(search).unwrap();
    let output = asked("cuda", Path::new(&search), Some(&package));
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    let real = libraries.canonicalize().unwrap();
    let expected = format!(
        "LibTorch for CUDA of {} was loaded and sees no GPU",
        real.display()
    );
    assert!(error.contains(&expected), "{error}");
}
