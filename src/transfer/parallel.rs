use crate::error::{Error, ErrorKind, Result};

/// Runs `work` on that many threads of a pool of its own, and waits for all of them.
pub(super) fn on_threads(count: usize, work: impl Fn() + Sync) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(count.max(1))
        .thread_name(|index| format!("transfer-{index}"))
        // What a worker keeps on its stack is small; its buffer is on the heap.
        .stack_size(512 * 1024)
        .build()
        .map_err(|error| {
            // This machine does not let us have so many.
            Error::new(ErrorKind::Io(std::io::Error::other(error.to_string())))
                .context(format!("starting {count} threads"))
        })?;
    pool.broadcast(|_| work());
    Ok(())
}
