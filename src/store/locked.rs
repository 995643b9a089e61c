use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// How long somebody may hold a lock. They hold it for one small write, or to collect garbage;
/// who holds it longer is stopped or stuck.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// How long we wait for a lock before the user hears of it.
const LOCK_TELL: Duration = Duration::from_secs(2);

/// How often we look whether it is free.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// A file that this process has locked. Let go when dropped, even if a child that is being started
/// has the file too.
pub(super) struct Locked(File);

impl Locked {
    /// Waits for whoever has it, some minutes at the most.
    pub(super) fn exclusive(file: File) -> io::Result<Locked> {
        Locked::wait(file, File::try_lock)
    }

    /// Waits for whoever has it exclusive, some minutes at the most.
    pub(super) fn shared(file: File) -> io::Result<Locked> {
        Locked::wait(file, File::try_lock_shared)
    }

    fn wait(file: File, lock: fn(&File) -> Result<(), TryLockError>) -> io::Result<Locked> {
        let began = Instant::now();
        let mut told = false;
        loop {
            match lock(&file) {
                Ok(()) => return Ok(Locked(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let waited = began.elapsed();
            if waited > LOCK_WAIT {
                let seconds = LOCK_WAIT.as_secs();
                let message = format!("another process has held it for {seconds} s");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            if waited > LOCK_TELL && !std::mem::replace(&mut told, true) {
                log::warn!("waiting for another process that holds a lock of the store");
            }
            std::thread::park_timeout(LOCK_LOOK);
        }
    }

    /// Gives the file back if somebody else has it.
    pub(super) fn try_exclusive(file: File) -> io::Result<Result<Locked, File>> {
        match file.try_lock() {
            Ok(()) => Ok(Ok(Locked(file))),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl std::ops::Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            log::debug!("unlocking: {error}");
        }
    }
}
