use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Credential, Secret, file};
use crate::printable::printable;

/// Most bytes of a helper's answer.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// How long a helper may take. It may ask someone to unlock a keychain.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often we look whether a helper that has answered is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What helpers say when they do not know a registry.
const UNKNOWN: &str = "credentials not found";

/// A program `docker-credential-NAME` that keeps credentials.
///
/// Spec: [Credential helper protocol][spec].
///
/// [spec]: https://github.com/docker/docker-credential-helpers/blob/v0.8.2/README.md#development
pub(super) struct Helper {
    program: String,
    patience: Duration,
}

/// What a helper says about one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Found(Credential),
    /// It works and does not know this registry.
    Unknown,
    /// It does not work: why, with its name.
    Failed(String),
}

/// What a helper is told to keep.
#[derive(Serialize)]
struct Login<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    user: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

impl Helper {
    pub(super) fn new(name: &str) -> Helper {
        Helper { program: format!("docker-credential-{name}"), patience: PATIENCE }
    }

    /// Asks for the credentials of `server`.
    pub(super) fn ask(&self, server: &str) -> Answer {
        match self.check_name() {
            Ok(()) => self.judge(self.run("get", server)),
            Err(answer) => answer,
        }
    }

    /// Lets it keep the credentials of `server`. The error says why not, with its name.
    pub(super) fn store(&self, server: &str, user: &str, secret: &Secret) -> Result<(), String> {
        let login = Login { server, user, secret: secret.expose() };
        let input = serde_json::to_string(&login).map_err(|error| error.to_string())?;
        self.order("store", &input)
    }

    /// Lets it forget them.
    pub(super) fn erase(&self, server: &str) -> Result<(), String> {
        self.order("erase", server)
    }

    fn order(&self, verb: &str, input: &str) -> Result<(), String> {
        let answer = match self.check_name() {
            Err(answer) => answer,
            Ok(()) => match self.run(verb, input) {
                Ok((true, _)) => return Ok(()),
                outcome => self.judge(outcome),
            },
        };
        match answer {
            Answer::Failed(why) => Err(why),
            Answer::Found(_) | Answer::Unknown => {
                Err(format!("credential helper `{}` failed", printable(&self.program)))
            }
        }
    }

    fn check_name(&self) -> Result<(), Answer> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match self.program.chars().all(is_plain) {
            true => Ok(()),
            false => Err(self.failed("its name has more than letters, digits, `-`, `_` and `.`")),
        }
    }

    /// What it means that the program succeeded or not, and wrote that.
    fn judge(&self, outcome: Result<(bool, Vec<u8>), String>) -> Answer {
        match outcome {
            Ok((true, output)) => match serde_json::from_slice::<Output>(&output) {
                Ok(output) => file::from_pair(output.user, output.secret)
                    .map_or(Answer::Unknown, Answer::Found),
                // The error of the parser would show what is in the answer.
                Err(_) => self.failed("its answer is not what Docker expects"),
            },
            Ok((false, output)) => match String::from_utf8_lossy(&output).trim() {
                text if text.contains(UNKNOWN) => Answer::Unknown,
                // A login that it wrote before it failed must not be shown.
                text if text.is_empty() || text.contains('{') => {
                    self.failed("it failed without saying why")
                }
                text => self.failed(&format!("it failed: {}", printable(text))),
            },
            Err(why) => self.failed(&why),
        }
    }

    fn failed(&self, why: &str) -> Answer {
        Answer::Failed(format!("credential helper `{}`: {why}", printable(&self.program)))
    }

    /// Whether the program succeeded, and what it wrote.
    fn run(&self, verb: &str, input: &str) -> Result<(bool, Vec<u8>), String> {
        let deadline = Instant::now() + self.patience;
        let mut command = Command::new(&self.program);
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => "it is not in PATH".to_owned(),
            _ => error.to_string(),
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read is judged by what it writes.
            let _ = stdin.write_all(input.as_bytes());
        }
        let outcome = self.wait(&mut child, deadline);
        if outcome.is_err() {
            // It is gone already, or this ends it.
            let _ = child.kill();
            let _ = child.wait();
        }
        outcome
    }

    fn wait(&self, child: &mut Child, deadline: Instant) -> Result<(bool, Vec<u8>), String> {
        let too_slow = || format!("no answer within {} s", self.patience.as_secs());
        let (sender, receiver) = mpsc::channel();
        let stdout = child.stdout.take().expect("it is piped");
        // Left alone if a child of the helper keeps the pipe open.
        thread::spawn(move || {
            let mut output = Vec::new();
            let read = stdout.take(ANSWER_LIMIT + 1).read_to_end(&mut output);
            sender.send(read.map(|_| output))
        });
        let left = deadline.saturating_duration_since(Instant::now());
        let output = receiver.recv_timeout(left).map_err(|_| too_slow())?;
        let output = output.map_err(|error| error.to_string())?;
        if output.len() as u64 > ANSWER_LIMIT {
            return Err(format!("its answer is longer than {ANSWER_LIMIT} bytes"));
        }
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok((status.success(), output)),
                Ok(None) if Instant::now() < deadline => thread::park_timeout(LOOK_AGAIN),
                Ok(None) => return Err(too_slow()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    /// What a helper with this script answers. It is found by its path, because the tests do
    /// not change PATH.
    fn answer(script: &str, patience: Duration) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create_new(true).mode(0o700).open(&path).unwrap();
        file.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        drop(file);
        let helper = Helper { program: path.to_str().unwrap().to_owned(), patience };
        // Another thread that forks while the file is open for writing makes it busy for a
        // moment.
        let outcome = loop {
            match helper.run("get", "https://a.io") {
                Err(why) if why.contains("busy") => thread::yield_now(),
                outcome => break outcome,
            }
        };
        helper.judge(outcome)
    }

    #[track_caller]
    fn check(script: &str, expected: &Answer) {
        assert_eq!(answer(script, PATIENCE), *expected, "{script}");
    }

    #[track_caller]
    fn check_failed(script: &str, why: &str) {
        match answer(script, PATIENCE) {
            Answer::Failed(text) => {
                assert!(text.contains(why) && text.contains("docker-credential-test"), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
            answer => panic!("{script}: {answer:?}"),
        }
    }

    #[test]
    fn helper_is_told_the_registry_and_believed() {
        let password = || Secret::new("pw");
        check(
            r#"test "$1 $(cat)" = "get https://a.io" &&
               echo '{"ServerURL":"https://a.io","Username":"me","Secret":"pw"}'"#,
            &Answer::Found(Credential::Basic { user: "me".into(), password: password() }),
        );
        check(
            r#"echo '{"Username":"<token>","Secret":"pw"}'"#,
            &Answer::Found(Credential::Identity { user: None, token: password() }),
        );
        check(r#"echo '{"Username":"","Secret":""}'"#, &Answer::Unknown);
        check("echo credentials not found in native keychain; exit 1", &Answer::Unknown);
    }

    #[test]
    fn helper_that_fails_is_named_with_its_reason() {
        check_failed("echo no keychain; exit 1", "no keychain");
        check_failed("printf '\\033[31mred'; exit 1", "\\x1b[31mred");
        check_failed("exit 3", "without saying why");
        check_failed("echo '{\"Secret\":\"hunter2\",'", "not what Docker expects");
        check_failed("yes hunter2", "longer than 65536 bytes");
    }

    #[test]
    fn helper_that_hangs_is_ended() {
        let patience = Duration::from_millis(50);
        for script in ["exec sleep 60", "exec sleep 60 >&-", "sleep 3 & exec sleep 60"] {
            let begin = Instant::now();
            assert!(matches!(answer(script, patience), Answer::Failed(_)), "{script}");
            assert!(begin.elapsed() < Duration::from_secs(30), "{script}");
        }
    }

    #[test]
    fn helper_outside_path_or_with_a_path_for_a_name_is_not_run() {
        for (name, why) in [
            ("windlass-test-missing", "not in PATH"),
            ("../../../bin/sh", "its name has more"),
            ("a b", "its name has more"),
            ("a\0b", "its name has more"),
        ] {
            match Helper::new(name).ask("a.io") {
                Answer::Failed(text) => assert!(text.contains(why), "{text}"),
                answer => panic!("{name}: {answer:?}"),
            }
        }
    }
}
