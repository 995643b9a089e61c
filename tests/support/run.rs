//! Runs the binary as a user would, and shows everything when a claim about it is wrong.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::scratch::Scratch;

/// A user of windlass with a home, a store and a clean environment of their own.
pub(crate) struct Windlass {
    pub(crate) scratch: Scratch,
}

impl Windlass {
    pub(crate) fn new() -> Windlass {
        Windlass { scratch: Scratch::new() }
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.scratch.join("store")
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command(args).run()
    }

    /// A run that can be prepared further.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        let program = OsString::from(env!("CARGO_BIN_EXE_windlass"));
        let mut command = Command::new(&program);
        let home = self.scratch.path();
        command.args(args).env_clear().current_dir(home);
        command.env("PATH", "/usr/bin:/bin").env("HOME", home);
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
            command.env(name, home.join(name));
        }
        command.env("WINDLASS_STORE", self.store()).env("DOCKER_CONFIG", home.join("docker"));
        Run { command, stdin: Vec::new(), limit: Duration::from_secs(30) }
    }

    /// Starts it, to be watched or killed.
    pub(crate) fn spawn<S: AsRef<OsStr>>(&self, args: &[S]) -> Running {
        self.command(args).spawn()
    }
}

/// A run that has not begun.
pub(crate) struct Run {
    /// For what has no method here, such as `current_dir`.
    pub(crate) command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Run {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// What it reads; otherwise nothing.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = bytes.into();
        self
    }

    /// Longer than this, 30 seconds if not told, is a hang.
    pub(crate) fn limit(mut self, limit: Duration) -> Run {
        self.limit = limit;
        self
    }

    #[track_caller]
    pub(crate) fn run(self) -> Output {
        self.spawn().wait()
    }

    pub(crate) fn spawn(mut self) -> Running {
        let line =
            format!("{:?}", self.command).replace(env!("CARGO_BIN_EXE_windlass"), "windlass");
        let line = line
            .rsplit_once("\"windlass\"")
            .map_or(line.clone(), |(_, args)| format!("windlass{args}"));
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        // A program need not read its input.
        thread::spawn(move || drop(stdin.write_all(&bytes)));
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let started = Instant::now();
        Running { child, line, stdout, stderr, started, limit: self.limit }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A run that has not ended. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    line: String,
    stdout: mpsc::Receiver<Vec<u8>>,
    stderr: mpsc::Receiver<Vec<u8>>,
    started: Instant,
    limit: Duration,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for its end, or panics at the limit.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let left = self.limit.saturating_sub(self.started.elapsed());
        let stdout = self.stdout.recv_timeout(left);
        let hangs = stdout.is_err();
        if hangs {
            let _ = self.child.kill();
        }
        let stdout = stdout.or_else(|_| self.stdout.recv_timeout(Duration::from_secs(1)));
        let stderr = self.stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let left = self.limit.saturating_sub(self.started.elapsed());
        let status = wait_at_most(&mut self.child, left);
        let output = Output {
            line: std::mem::take(&mut self.line),
            status: status.and_then(|status| status.code().or(status.signal().map(|it| 128 + it))),
            stdout_bytes: stdout.unwrap_or_default(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took: self.started.elapsed(),
        };
        assert!(!hangs && output.status.is_some(), "it hangs\n{output}");
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` if it has not ended by then. It has closed stdout, so this takes no time.
fn wait_at_most(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > limit.max(Duration::from_secs(1)) {
            return None;
        }
        thread::yield_now();
    }
}

/// What came of a run.
pub(crate) struct Output {
    line: String,
    status: Option<i32>,
    pub(crate) stdout_bytes: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Output {
    /// The exit code, or 128 and the signal.
    pub(crate) fn status(&self) -> i32 {
        self.status.expect("`wait` panics otherwise")
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout_bytes).into_owned()
    }

    #[track_caller]
    pub(crate) fn success(self) -> Output {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Output {
        assert!(self.status == Some(status), "expected status {status}\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn prints(self, stdout: &str) -> Output {
        assert!(self.stdout() == stdout, "expected on stdout:\n{stdout}\n{self}");
        self
    }

    /// Somewhere on stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Output {
        assert!(self.stderr.contains(text), "expected on stderr: {text}\n{self}");
        self
    }

    /// Nowhere, on neither.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Output {
        let said = self.stderr.contains(text) || self.stdout().contains(text);
        assert!(!said, "not expected: {text}\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or("none".to_owned(), |status| status.to_string());
        writeln!(f, "command: {}", self.line)?;
        writeln!(f, "status:  {status} after {:.1} s", self.took.as_secs_f64())?;
        writeln!(f, "stdout:\n{}", self.stdout())?;
        writeln!(f, "stderr:\n{}", self.stderr)
    }
}
