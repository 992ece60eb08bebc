//! Limits on work with files that somebody else made: a small file may be made to unfold into more
//! memory than there is, or to keep a program busy for ever.
//!
//! What can be limited where it is read is limited there: [`read`] for small files, `corpus-files`
//! for documents. What other libraries do with foreign bytes is done within [`Work::run`]: where it
//! takes more memory or time than its limits, or the library stops with a panic, that is bad input
//! (exit status 3) with the name of the file. Nobody can stop a library in the middle, so that for
//! memory and time it is the program that ends, its unfinished outputs removed.
//!
//! Memory is what Rust's allocator holds for the thread of the work, and was not given back
//! meanwhile. What other threads do counts nothing, and neither does what a library in C asks for.

#![allow(
    unsafe_code,
    reason = "an allocator has no safe interface; this one asks the system's for everything"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use crate::{Error, files, log, memory, stage_run};

/// Most bytes of a file that is read as a whole and is small by its nature: settings, lists,
/// templates. It is what safetensors allows a header.
pub const MAX_SETTINGS_BYTES: u64 = 100_000_000;

/// How often it is looked at how long works take.
const TICK: Duration = Duration::from_millis(100);

/// After so many looks at nothing the thread that looks ends.
const IDLE_TICKS: u32 = 20;

const MEBIBYTE: u64 = 1 << 20;

/// The content of a small file.
///
/// # Errors
/// [`Error::Input`] where it cannot be read, and for more than `max_bytes`.
pub fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |error: io::Error| Error::input(path, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    // What is no regular file has no length that one could ask for before.
    file.take(max_bytes + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > max_bytes {
        return Err(Error::input(
            path,
            format!("expected at most {max_bytes} bytes, found more: no such file is so long"),
        ));
    }
    Ok(content)
}

/// The content of a small file as text.
///
/// # Errors
/// As [`read`], and [`Error::Input`] for bytes that are no UTF-8.
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String, Error> {
    String::from_utf8(read(path, max_bytes)?)
        .map_err(|error| Error::input(path, format!("expected UTF-8: {}", error.utf8_error())))
}

/// Work with a foreign file, and how much it may take.
#[derive(Debug)]
pub struct Work {
    file: PathBuf,
    doing: String,
    max_bytes: u64,
    max_seconds: u64,
    /// Whether the machine has no more memory, so that the file may be as it should be.
    is_of_machine: bool,
}

impl Work {
    /// `doing` says in messages what is done with the file: "reading its rows". Each time it may
    /// take `max_bytes` of memory, and `max_seconds`.
    pub fn new(
        file: impl Into<PathBuf>,
        doing: impl Into<String>,
        max_bytes: u64,
        max_seconds: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            file: file.into(),
            doing: doing.into(),
            max_bytes,
            max_seconds,
            is_of_machine: false,
        })
    }

    /// The same, of work that a large file of its kind may need more memory for than the machine
    /// has: where seven tenths of what is free now are less than `max_bytes`, they are the limit.
    /// The rest is for what the allocator cannot give back between pieces.
    pub fn within_free_memory(
        file: impl Into<PathBuf>,
        doing: impl Into<String>,
        max_bytes: u64,
        max_seconds: u64,
    ) -> Arc<Self> {
        let free = memory::free_bytes().map_or(u64::MAX, |bytes| bytes / 10 * 7);
        Arc::new(Self {
            file: file.into(),
            doing: doing.into(),
            max_bytes: max_bytes.min(free),
            max_seconds,
            is_of_machine: free < max_bytes,
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// [`Error::Input`] where a library stops with a panic. Where a limit is reached the program
    /// ends.
    pub fn run<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> Result<T, Error> {
        quieten_panics();
        let _under_way = UnderWay::begin(self);
        // What is left half-done belongs to the work, and nobody asks it again after an error.
        panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let problem = format!("{} failed: {}", self.doing, message_of(panic.as_ref()));
            Error::input(&self.file, problem)
        })
    }

    fn too_much_memory(&self) -> Error {
        let mebibytes = self.max_bytes / MEBIBYTE;
        if self.is_of_machine {
            let problem = format!(
                "{} takes more than the {mebibytes} MiB of memory that it may have of what is free here. Divide the \
                 document into smaller ones, or take a machine with more memory",
                self.doing
            );
            return Error::input(&self.file, problem);
        }
        self.too_much(&format!("{mebibytes} MiB of memory"))
    }

    fn too_much_time(&self) -> Error {
        self.too_much(&format!("{} seconds", self.max_seconds))
    }

    fn too_much(&self, limit: &str) -> Error {
        let problem = format!(
            "{} takes more than {limit}, which no file does that is what it should be: it is damaged, or made to bring programs down",
            self.doing
        );
        Error::input(&self.file, problem)
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("for a reason that is not known")
}

/// A panic that becomes an error prints nothing itself: the error has its message.
fn quieten_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_caught =
                OF_THREAD.try_with(|works| works.try_borrow().is_ok_and(|works| !works.is_empty()));
            if !is_caught.unwrap_or(false) {
                usual(panic);
            }
        }));
    });
}

/// Ends the program as an error of its own would.
fn end(error: &Error) -> ! {
    let status = i32::from(error.exit_status());
    files::exit_without_partial_files(|| {
        let message = error.to_string();
        log::say(format_args!("error: {message}"));
        stage_run::stopped(status, &message);
        // SAFETY: it takes a number. Handlers of other libraries are not run, for their threads still work.
        unsafe { libc::_exit(status) }
    });
    // Not reached.
    std::process::abort()
}

thread_local! {
    /// The works of this thread, the innermost last.
    static OF_THREAD: RefCell<Vec<Arc<Work>>> = const { RefCell::new(Vec::new()) };
    /// Bytes that this thread has asked for and not given back since its innermost work began.
    static TAKEN: Cell<i64> = const { Cell::new(0) };
    /// Most bytes that it may take.
    static ALLOWED: Cell<i64> = const { Cell::new(i64::MAX) };
}

/// Keeps a work in the list of what is under way, and its memory counted.
struct UnderWay {
    number: u64,
    taken_before: i64,
    allowed_before: i64,
}

impl UnderWay {
    fn begin(work: &Arc<Work>) -> Self {
        OF_THREAD.with_borrow_mut(|works| works.push(Arc::clone(work)));
        let number = watch_time_of(work);
        let max_bytes = i64::try_from(work.max_bytes).unwrap_or(i64::MAX);
        Self {
            number,
            taken_before: TAKEN.replace(0),
            allowed_before: ALLOWED.replace(max_bytes),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        ALLOWED.set(self.allowed_before);
        // What the inner work has kept, the outer one has.
        TAKEN.set(TAKEN.get().saturating_add(self.taken_before));
        let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
        watch.under_way.retain(|timed| timed.number != self.number);
        drop(watch);
        OF_THREAD.with_borrow_mut(Vec::pop);
    }
}

/// A work under way, and how often it was looked at.
struct Timed {
    number: u64,
    work: Arc<Work>,
    ticks: u64,
}

struct Watch {
    under_way: Vec<Timed>,
    last_number: u64,
    is_running: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    under_way: Vec::new(),
    last_number: 0,
    is_running: false,
});

/// Has a thread look at how long a work takes; returns the work's number.
fn watch_time_of(work: &Arc<Work>) -> u64 {
    let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
    watch.last_number += 1;
    let number = watch.last_number;
    watch.under_way.push(Timed {
        number,
        work: Arc::clone(work),
        ticks: 0,
    });
    if !watch.is_running {
        let watcher = std::thread::Builder::new().name("limits".to_owned());
        // Without the thread a work may take as long as it takes.
        watch.is_running = watcher.spawn(look_until_idle).is_ok();
    }
    number
}

fn look_until_idle() {
    let mut idle = 0;
    while idle < IDLE_TICKS {
        std::thread::sleep(TICK);
        let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
        idle = if watch.under_way.is_empty() { idle + 1 } else { 0 };
        if let Some(error) = too_long(&mut watch.under_way) {
            end(&error);
        }
        watch.is_running = idle < IDLE_TICKS;
    }
}

/// The first work that takes too long. Time is counted in looks, so that a program that was stopped
/// meanwhile has not taken any.
fn too_long(under_way: &mut [Timed]) -> Option<Error> {
    under_way.iter_mut().find_map(|timed| {
        timed.ticks += 1;
        let ticks = timed.work.max_seconds.saturating_mul(1000) / TICK.as_millis() as u64;
        (timed.ticks > ticks).then(|| timed.work.too_much_time())
    })
}

/// The system's allocator, which counts. Memory that a work must not have, or that the system
/// refuses it, ends the program in words; otherwise Rust ends it with a signal and the number of
/// bytes.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(held(layout.size()));
        // SAFETY: as the caller assures.
        answered(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(held(layout.size()));
        // SAFETY: as the caller assures.
        answered(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(held(size) - held(layout.size()));
        // SAFETY: as the caller assures.
        answered(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        TAKEN.set(TAKEN.get().wrapping_sub(held(layout.size())));
        // SAFETY: as the caller assures.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What the system's allocator holds for a piece: eight bytes more, in sixteens, and at least two
/// of these. Of millions of pieces of two bytes that is sixteen times what was asked for.
#[inline]
fn held(bytes: usize) -> i64 {
    (bytes.saturating_add(8).next_multiple_of(16)).max(32) as i64
}

#[inline]
fn take(bytes: i64) {
    let taken = TAKEN.get().wrapping_add(bytes);
    TAKEN.set(taken);
    if taken > ALLOWED.get() {
        refuse();
    }
}

#[inline]
fn answered(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        refuse();
    }
    memory
}

/// Ends the program where this thread works with a foreign file.
#[cold]
fn refuse() {
    // What is said and done now takes memory too.
    ALLOWED.set(i64::MAX);
    let work = OF_THREAD.try_with(|works| works.try_borrow().ok()?.last().map(Arc::clone));
    if let Ok(Some(work)) = work {
        end(&work.too_much_memory());
    }
}

#[cfg(test)]
mod tests {
    use super::{ALLOWED, TAKEN, Timed, Work, too_long};

    #[test]
    fn time_is_counted_in_looks() {
        let mut under_way = vec![Timed {
            number: 1,
            work: Work::new("a.arrow", "reading its rows", 1 << 30, 2),
            ticks: 0,
        }];
        let (looks, error) = (0..)
            .find_map(|looks| Some((looks, too_long(&mut under_way)?)))
            .expect("an error in the end");
        assert_eq!((looks, error.exit_status()), (20, 3));
        let message = error.to_string();
        assert!(
            message.starts_with("a.arrow: reading its rows takes more than 2 seconds"),
            "{message}"
        );
    }

    #[test]
    fn memory_is_counted_by_thread_and_work() {
        let outer = Work::new("a.arrow", "reading its rows", 1 << 30, 60);
        let inner = Work::new("a.arrow", "looking at a row", 1 << 20, 60);
        outer
            .run(|| {
                let kept = inner.run(|| {
                    assert_eq!(ALLOWED.get(), 1 << 20);
                    let elsewhere = std::thread::spawn(|| vec![0_u8; 1 << 21].len());
                    assert_eq!(elsewhere.join().expect("a thread"), 1 << 21);
                    drop(vec![0_u8; 1 << 19]);
                    drop(vec![0_u8; 1 << 19]);
                    let kept = std::hint::black_box(vec![0_u8; 1 << 19]);
                    assert!((1 << 19..1 << 20).contains(&TAKEN.get()), "{}", TAKEN.get());
                    kept
                });
                assert_eq!(ALLOWED.get(), 1 << 30);
                assert!(TAKEN.get() >= 1 << 19, "{}", TAKEN.get());
                drop(kept);
                assert!(TAKEN.get() < 1 << 19, "{}", TAKEN.get());
            })
            .expect("no panic");
        assert_eq!(ALLOWED.get(), i64::MAX);
    }

    #[test]
    fn work_is_limited_to_the_memory_of_the_machine() {
        let work = Work::within_free_memory("tokenizer.json", "encoding a text of 110 MB", u64::MAX, 60);
        let message = work.too_much_memory().to_string();
        assert!(work.max_bytes < 1 << 50, "{}", work.max_bytes);
        assert!(
            message.starts_with("tokenizer.json: encoding a text of 110 MB takes more than the ")
                && message.contains("Divide the document"),
            "{message}"
        );
        let work = Work::within_free_memory("tokenizer.json", "encoding a text", 1, 60);
        let message = work.too_much_memory().to_string();
        assert!(message.contains("made to bring programs down"), "{message}");
    }

    #[test]
    fn panics_are_errors_that_name_the_file() {
        let work = Work::new("b.arrow", "reading its rows", 1 << 30, 60);
        let error = work
            .run(|| Vec::<u8>::new()[std::hint::black_box(3)])
            .expect_err("a panic");
        let message = error.to_string();
        assert!(
            message.starts_with("b.arrow: reading its rows failed: index out of bounds"),
            "{message}"
        );
        assert_eq!(work.run(|| 7).expect("no panic"), 7);
    }
}
