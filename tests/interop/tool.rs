//! Running programs.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A program to run with an environment of its own: nothing of the tester's but `PATH`.
pub(crate) struct Tool {
    command: Command,
    stdin: Vec<u8>,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>, home: &Path) -> Tool {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path()).env("HOME", home).env("LC_ALL", "C");
        Tool { command, stdin: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Tool {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Tool {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, bytes: &[u8]) -> Tool {
        self.stdin = bytes.to_vec();
        self
    }

    #[track_caller]
    pub(crate) fn run(mut self) -> Ran {
        let shown = format!("{:?}", self.command);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut self.command);
        // A program that does not read its input closes it: no fault of ours.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        let output = child.wait_with_output().unwrap();
        Ran {
            shown,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts what runs until it is dropped, with what it says in `log`.
    #[track_caller]
    pub(crate) fn start(mut self, log: &Path) -> Process {
        let file = File::create(log).unwrap();
        self.command.stdin(Stdio::null());
        self.command.stdout(file.try_clone().unwrap()).stderr(file);
        Process { child: spawn(&mut self.command), log: log.to_owned() }
    }
}

/// What a program did.
pub(crate) struct Ran {
    shown: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Ran {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Ran {
        assert_eq!(self.text(), text, "{}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Ran {
        assert!(self.stderr.contains(text), "does not say `{text}`: {}", self.story());
        self
    }

    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Ran {
        assert!(!self.stderr.contains(text), "says `{text}`: {}", self.story());
        assert!(!self.text().contains(text), "prints `{text}`: {}", self.story());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn story(&self) -> String {
        format!(
            "\n{}\nexit: {:?}\nstdout:\n{}\nstderr:\n{}",
            self.shown,
            self.code,
            self.text(),
            self.stderr
        )
    }
}

/// A server, or a command that will be killed. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Waits until `ready` finds something; none if the process ends first.
    #[track_caller]
    pub(crate) fn wait_for<T>(&mut self, ready: impl Fn(&str) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = ready(&self.said()) {
                return Some(found);
            }
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(start.elapsed() < START_LIMIT, "not ready in time:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Kills it as `kill -9` does. It has to be running still.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "ended too early:\n{}", self.said());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sha256 of `bytes`, computed by another program than ours.
#[track_caller]
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let sum = Tool::new("sha256sum", Path::new("/")).stdin(bytes).run().ok().text();
    format!("sha256:{}", sum.split(' ').next().unwrap())
}

#[track_caller]
fn spawn(command: &mut Command) -> Child {
    match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{:?} is not there: run tests/interop/install", command.get_program())
        }
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Debian keeps nginx where not every user's `PATH` leads.
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
