//! How the program asks for memory.

/// Lets freed memory stay with the process, in large pages where the system has them. Each step of training asks for the same
/// hundreds of megabytes again; given back and got anew, the system clears every page of them each time, which takes up to half of the
/// time of a step. To be called before the first tensor is made and while there is only one thread.
#[allow(
    unsafe_code,
    reason = "the C library's settings and the environment have no safe interface"
)]
pub(crate) fn keep_freed_memory() {
    // SAFETY: the caller has one thread, so that nobody reads the environment or allocates meanwhile.
    unsafe {
        // LibTorch asks the kernel for large pages if this is set when it first allocates.
        if std::env::var_os("THP_MEM_ALLOC_ENABLE").is_none() {
            std::env::set_var("THP_MEM_ALLOC_ENABLE", "1");
        }
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        }
    }
}
