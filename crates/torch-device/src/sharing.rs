//! A machine that is shared with other programs.
//!
//! LibTorch divides its work among OpenMP's threads, and a thread that is done spins for some milliseconds while it waits for the others:
//! on idle processors that is the fastest, and where another program wants the processor it takes away what the others need to end. GNU's
//! OpenMP spins shortly where it has more threads than there are processors, busy or not. So while this program's threads are kept
//! waiting for processors by other programs, one more team of threads that sleep is held, and let go of when they are not. Results do not
//! change, since the work is divided as before. Threads that wait for others of this same program are none of that: it has more threads than
//! processors now and then, and is faster with spinning all the same.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(250);

/// Seconds that threads have waited for a processor, of each second, from which on the machine counts as busy, and under which it no longer
/// does.
const BUSY: f64 = 0.10;
const IDLE: f64 = 0.03;

/// Processors that other programs keep busy, on average over an interval, under which they are not what threads wait for.
const OTHERS: f64 = 0.10;

/// How long the machine must be idle before threads spin again.
const CALM: Duration = Duration::from_secs(2);

static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// Starts watching, once for the program: a thread that looks four times a second. Where the system does not say how long threads wait, or
/// the threads are of another OpenMP, nothing is done.
pub fn watch() {
    if IS_WATCHED.swap(true, Ordering::Relaxed) {
        return;
    }
    let is_told =
        std::env::var_os("OMP_WAIT_POLICY").is_some() || std::env::var_os("GOMP_SPINCOUNT").is_some();
    let can_be_seen = waited().is_some();
    if is_told || !can_be_seen {
        return;
    }
    let Some(hold_threads) = gnu_openmp() else { return };
    // Without the watch the program computes as well.
    drop(
        thread::Builder::new()
            .name("sharing".to_owned())
            .spawn(move || keep_watch(hold_threads)),
    );
}

fn keep_watch(hold_threads: HoldThreads) {
    let mut held: Option<Held> = None;
    let (mut before, mut at) = (waited().unwrap_or(0.0), Instant::now());
    let mut of_others_before = busy_with_others();
    let mut idle_since = Instant::now();
    loop {
        thread::sleep(INTERVAL);
        let Some(now) = waited() else { return };
        let seconds = at.elapsed().as_secs_f64();
        let of_others = busy_with_others();
        // Where the system does not say what others do, all waiting is for them.
        let others = match (of_others_before, of_others) {
            (Some(before), Some(now)) => (now - before) / seconds,
            _ => f64::INFINITY,
        };
        let share = if others > OTHERS {
            ((now - before) / seconds).max(0.0)
        } else {
            0.0
        };
        (before, at, of_others_before) = (now, Instant::now(), of_others);
        if share > IDLE {
            idle_since = Instant::now();
        }
        if share > BUSY && held.is_none() {
            tracing::debug!(
                "threads wait for processors {share:.2} s a second, and others keep {others:.2} of them busy: they no longer spin"
            );
            held = Held::start(hold_threads);
        } else if held.is_some() && idle_since.elapsed() > CALM {
            tracing::debug!("the processors are idle again");
            held = None;
        }
    }
}

/// Seconds that this program's threads have waited for a processor while they were ready to run.
fn waited() -> Option<f64> {
    let mut nanoseconds = 0_u64;
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else {
            continue;
        };
        nanoseconds += text.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    }
    Some(nanoseconds as f64 / 1e9)
}

/// Seconds of processors that everything but this program has taken.
fn busy_with_others() -> Option<f64> {
    // Both count in the same ticks, a hundred a second on all systems that have these files.
    let all = fs::read_to_string("/proc/stat").ok()?;
    let mut all = all
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .map(str::parse::<u64>);
    let mut next = || all.next()?.ok();
    let (user, nice, system) = (next()?, next()?, next()?);
    let own = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold blanks; the times are the 12th and 13th fields behind it.
    let mut own = own.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || own.next()?.parse::<u64>().ok();
    let (own_user, own_system) = (next()?, next()?);
    Some(((user + nice + system) as f64 - (own_user + own_system) as f64) / 100.0)
}

/// `GOMP_parallel`: runs a function on so many threads, which then belong to the thread that called it.
type HoldThreads =
    unsafe extern "C" fn(extern "C" fn(*mut std::ffi::c_void), *mut std::ffi::c_void, u32, u32);

#[cfg(unix)]
#[allow(unsafe_code, reason = "GNU's OpenMP is a C library")]
fn gnu_openmp() -> Option<HoldThreads> {
    use libloading::os::unix::Library;
    // SAFETY: looks among what is loaded; the function is declared as its documentation has it.
    unsafe {
        Library::this()
            .get::<HoldThreads>(b"GOMP_parallel\0")
            .ok()
            .map(|found| *found)
    }
}

#[cfg(not(unix))]
fn gnu_openmp() -> Option<HoldThreads> {
    None
}

extern "C" fn nothing(_: *mut std::ffi::c_void) {}

/// A team of threads that sleep until it is dropped.
struct Held {
    let_go: Option<Sender<()>>,
    owner: Option<thread::JoinHandle<()>>,
}

impl Held {
    fn start(hold_threads: HoldThreads) -> Option<Self> {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (let_go, is_let_go) = mpsc::channel();
        let owner = thread::Builder::new()
            .name("held".to_owned())
            .spawn(move || {
                #[allow(unsafe_code, reason = "GNU's OpenMP is a C library")]
                // SAFETY: a function that does nothing, with nothing to work on.
                unsafe {
                    hold_threads(nothing, std::ptr::null_mut(), processors as u32 + 1, 0);
                }
                // Until the sender is gone. The team ends with this thread.
                let _ = is_let_go.recv();
            })
            .ok()?;
        Some(Self {
            let_go: Some(let_go),
            owner: Some(owner),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.let_go.take());
        if let Some(owner) = self.owner.take() {
            drop(owner.join());
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    fn threads() -> usize {
        fs::read_dir("/proc/self/task").unwrap().count()
    }

    /// Once a team is let go of, its threads end by themselves.
    #[test]
    fn threads_are_held_and_let_go_of() {
        let processors = thread::available_parallelism().unwrap().get();
        let _tensor = tch::Tensor::from_slice(&[1.0]);
        let before = threads();
        let held = Held::start(gnu_openmp().unwrap()).unwrap();
        let until = |reached: &dyn Fn(usize) -> bool| {
            (0..500).any(|_| {
                thread::sleep(Duration::from_millis(10));
                reached(threads())
            })
        };
        assert!(until(&|now| now >= before + 1 + processors));
        drop(held);
        assert!(until(&|now| now <= before));
    }

    /// Work of this program is not counted, that of another is.
    #[test]
    fn work_of_others_is_seen() {
        let Some(before) = busy_with_others() else { return };
        let mut other = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {}
        let grown = busy_with_others().unwrap() - before;
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(grown > 0.2, "{grown}");
    }

    #[test]
    fn waiting_is_seen_to_grow() {
        // Some systems do not say; nothing is watched there.
        let Some(before) = waited() else { return };
        let processors = thread::available_parallelism().unwrap().get();
        let end = Instant::now() + Duration::from_millis(300);
        // Twice as many as can run.
        thread::scope(|scope| {
            for _ in 0..2 * processors {
                scope.spawn(|| while Instant::now() < end {});
            }
            thread::sleep(Duration::from_millis(250));
            assert!(waited().unwrap() - before > 0.05);
        });
    }
}
