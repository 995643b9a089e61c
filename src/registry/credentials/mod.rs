//! Who we are to a registry: Docker's and podman's files, and the programs that they name.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host::is_docker_hub;
use super::secret::Secret;
use crate::error::{Context, Error, ErrorKind, Result};

mod file;
mod helper;
mod keep;

use file::ConfigFile;
use helper::{Answer, Helper};

pub use keep::{Kept, LoginFile};

/// Most bytes of a credentials file that are read. Real ones have a few hundred.
const FILE_LIMIT: u64 = 1024 * 1024;

/// How long the answer of a helper serves: long enough for a run over many images, short enough
/// for a program that lives longer than the login.
const ANSWER_LIFETIME: Duration = Duration::from_secs(300);

/// Who someone is to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nobody.
    Anonymous,
    /// A user with a password, or with what serves as one.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry's token server takes instead of a password.
    Identity {
        /// Whose it is, if that was said.
        user: Option<String>,
        /// The token.
        token: Secret,
    },
    /// A token that the registry itself takes.
    Registry(Secret),
}

/// Where to look for credentials, in order.
///
/// A clone shares what has been found out.
#[derive(Clone, Debug)]
pub struct Credentials {
    given: Vec<(String, Credential)>,
    files: Vec<PathBuf>,
    /// Whether the file was named by the user, and so must be there.
    named: bool,
    seen: Arc<Mutex<Seen>>,
}

/// What was found for one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) credential: Credential,
    /// Why there is no credential although a file names a helper that should know one.
    pub(super) problem: Option<String>,
}

/// What has been found out and need not be found out, or said, again.
#[derive(Default)]
struct Seen {
    exposed: HashSet<PathBuf>,
    answers: HashMap<(String, String), (Instant, Answer)>,
}

impl Credentials {
    /// None, for no registry.
    pub fn anonymous() -> Credentials {
        Credentials::from_files(Vec::new())
    }

    /// Those in files of the form of Docker's `config.json` and podman's `auth.json`. The first
    /// file that knows a registry decides; files that are not there are passed over.
    pub fn from_files(paths: Vec<PathBuf>) -> Credentials {
        Credentials { given: Vec::new(), files: paths, named: false, seen: Arc::default() }
    }

    /// Those in this file and no other. It has to be there.
    pub fn from_file(path: PathBuf) -> Credentials {
        Credentials { named: true, ..Credentials::from_files(vec![path]) }
    }

    /// The same, with this one for the registry `host`, or `host:port`, and no other registry.
    pub fn with(mut self, host: &str, credential: Credential) -> Credentials {
        self.given.insert(0, (file::registry_of(host), credential));
        self
    }

    /// Who we are to the repository `path` at the registry `host`, or `host:port`.
    ///
    /// A helper that is missing or fails is warned of once and told in the login; it is never
    /// made up for by the credentials of another registry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] and [`ErrorKind::Local`] name the file that cannot be read or is
    /// malformed.
    pub(super) fn find(&self, host: &str, path: &str) -> Result<Login> {
        let host = file::registry_of(host);
        if let Some((_, credential)) = self.given.iter().find(|(given, _)| *given == host) {
            return Ok(Login { credential: credential.clone(), problem: None });
        }
        let mut problem = None;
        for file in &self.files {
            let Some(config) = self.read(file)? else { continue };
            if let Some(name) = config.helper(&host) {
                match self.ask(name, &host) {
                    Answer::Found(credential) => return Ok(Login { credential, problem: None }),
                    Answer::Unknown => {}
                    Answer::Failed(why) => problem = problem.or(Some(why)),
                }
            }
            let found = config.credential(&host, path);
            if let Some(credential) = found.context(|| format!("reading `{}`", file.display()))? {
                return Ok(Login { credential, problem: None });
            }
        }
        Ok(Login { credential: Credential::Anonymous, problem })
    }

    fn read(&self, path: &Path) -> Result<Option<ConfigFile>> {
        let step = || format!("reading `{}`", path.display());
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if !self.named && is_absent(&error) => return Ok(None),
            Err(error) if !self.named && error.kind() == io::ErrorKind::PermissionDenied => {
                log::warn!("passing over `{}`: {error}", path.display());
                return Ok(None);
            }
            Err(error) => return Err(error).context(step),
        };
        let metadata = file.metadata().context(step)?;
        if metadata.is_file() && metadata.permissions().mode() & 0o044 != 0 {
            self.warn_of_exposure(path);
        }
        let mut bytes = Vec::new();
        file.by_ref().take(FILE_LIMIT + 1).read_to_end(&mut bytes).context(step)?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(Error::new(ErrorKind::Local(format!(
                "it is larger than {FILE_LIMIT} bytes"
            ))))
            .context(step);
        }
        ConfigFile::parse(&bytes).context(step).map(Some)
    }

    fn warn_of_exposure(&self, path: &Path) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.exposed.insert(path.to_owned()) {
            log::warn!("`{}` can be read by other users: chmod 600", path.display());
        }
    }

    /// Asks a helper, once for each registry. Others wait meanwhile: it may ask the user to
    /// unlock something.
    fn ask(&self, name: &str, host: &str) -> Answer {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), host.to_owned());
        match seen.answers.get(&key) {
            Some((at, answer)) if at.elapsed() < ANSWER_LIFETIME => answer.clone(),
            _ => {
                let answer = Helper::new(name).ask(server_name(host));
                if let Answer::Failed(why) = &answer {
                    log::warn!("going on without credentials for {host}: {why}");
                }
                seen.answers.insert(key, (Instant::now(), answer.clone()));
                answer
            }
        }
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seen")
    }
}

/// What Docker calls a registry when it speaks to helpers.
fn server_name(host: &str) -> &str {
    if is_docker_hub(host) { "https://index.docker.io/v1/" } else { host }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, and where to look: in all of them, in order.
    fn files(contents: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let folder = tempfile::tempdir().unwrap();
        let write = |(at, content): (usize, &&str)| {
            let path = folder.path().join(format!("{at}.json"));
            let mut options = File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            path
        };
        let paths = contents.iter().enumerate().map(write).collect();
        (folder, paths)
    }

    fn basic(user: &str) -> Credential {
        Credential::Basic { user: user.into(), password: Secret::new("pw") }
    }

    /// An `auths` with entries for these keys, each of which has the key for a user.
    fn auths(keys: &[&str]) -> String {
        let entry = |key: &&str| format!(r#""{key}":{{"username":"{key}","password":"pw"}}"#);
        format!(r#"{{"auths":{{{}}}}}"#, keys.iter().map(entry).collect::<Vec<_>>().join(","))
    }

    #[track_caller]
    fn check(keys: &[&str], repository: (&str, &str), expected: &str) {
        let (_folder, paths) = files(&[&auths(keys)]);
        let login = Credentials::from_files(paths).find(repository.0, repository.1).unwrap();
        let expected = if expected.is_empty() { Credential::Anonymous } else { basic(expected) };
        assert_eq!(login.credential, expected, "{keys:?} {repository:?}");
    }

    #[test]
    fn keys_are_matched_as_docker_and_podman_write_them() {
        let hub = ("docker.io", "library/alpine");
        let own = ("r.io:5000", "team/tool");
        check(&["https://index.docker.io/v1/"], hub, "https://index.docker.io/v1/");
        check(&["docker.io"], hub, "docker.io");
        check(&["index.docker.io"], hub, "index.docker.io");
        check(&["registry-1.docker.io"], hub, "registry-1.docker.io");
        check(&["docker.io/library"], hub, "docker.io/library");
        check(&["r.io:5000"], own, "r.io:5000");
        check(&["https://r.io:5000"], own, "https://r.io:5000");
        check(&["http://r.io:5000/v1/"], own, "http://r.io:5000/v1/");
        check(&["https://R.io:5000/v2/"], own, "https://R.io:5000/v2/");
        check(&["r.io:5000/v1/"], own, "r.io:5000/v1/");
        check(&["r.io:5000/team"], own, "r.io:5000/team");
        check(&["r.io:5000/team/tool"], own, "r.io:5000/team/tool");
        check(&["r.io:5000", "r.io:5000/team"], own, "r.io:5000/team");
        check(&["r.io:5000/team/tool", "r.io:5000/team"], own, "r.io:5000/team/tool");
        check(&["https://r.io:5000/v1/", "r.io:5000"], own, "r.io:5000");
        check(&["[::1]:5000"], ("[::1]:5000", "a"), "[::1]:5000");
        check(&["r.io", "r.io:5001", "x.r.io:5000", "r.io:5000/tea", "io:5000"], own, "");
        check(&["r.io:5000/team/tool/more", "r.io:5000.evil.io", "5000"], own, "");
        check(&["", "/", "https://", "//"], own, "");
    }

    #[test]
    fn first_file_that_knows_the_registry_decides() {
        let (_folder, mut paths) = files(&[&auths(&["a.io"]), &auths(&["a.io/x", "b.io"])]);
        paths.insert(0, "/nonexistent/auth.json".into());
        let credentials = Credentials::from_files(paths);
        assert_eq!(credentials.find("a.io", "x").unwrap().credential, basic("a.io"));
        assert_eq!(credentials.find("b.io", "x").unwrap().credential, basic("b.io"));
        assert_eq!(credentials.find("c.io", "x").unwrap().credential, Credential::Anonymous);
    }

    #[test]
    fn given_credential_goes_to_its_registry_only() {
        let (_folder, paths) = files(&[&auths(&["a.io", "b.io", "docker.io"])]);
        let credentials =
            Credentials::from_files(paths).with("a.io", basic("me")).with("docker.io", basic("me"));
        assert_eq!(credentials.find("a.io", "x").unwrap().credential, basic("me"));
        assert_eq!(credentials.find("docker.io", "x").unwrap().credential, basic("me"));
        assert_eq!(credentials.find("b.io", "x").unwrap().credential, basic("b.io"));
        let only = Credentials::anonymous().with("a.io", basic("me"));
        assert_eq!(only.find("a.io:5000", "x").unwrap().credential, Credential::Anonymous);
        assert!(!format!("{only:?}").contains("pw"));
    }

    #[test]
    fn named_file_must_be_there_and_others_need_not() {
        let path = PathBuf::from("/nonexistent/auth.json");
        assert!(Credentials::from_files(vec![path.clone()]).find("a.io", "x").is_ok());
        let error = Credentials::from_file(path).find("a.io", "x").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io(_)));
        assert!(error.to_string().contains("/nonexistent/auth.json"), "{error}");
    }

    #[test]
    fn malformed_file_is_named_with_its_line_and_not_shown() {
        for content in [
            "{\n\"auths\": {\"a.io\": {\"auth\": 5}}}",
            "{\n\"auths\": {\"a.io\": \"hunter2\"}}",
            "{\n\"auths\": hunter2}",
            "{\n\"hunter2",
        ] {
            let (_folder, paths) = files(&[content]);
            let path = paths[0].display().to_string();
            let error = Credentials::from_files(paths).find("b.io", "x").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Local(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains(&path) && text.contains("line 2"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let (_folder, paths) = files(&[&" ".repeat(1024 * 1024 + 1)]);
        assert!(Credentials::from_files(paths).find("b.io", "x").is_err());
    }

    #[test]
    fn missing_helper_is_a_problem_told_and_not_another_registrys_credentials() {
        let content = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cHc="},"a.io":{}},
            "credsStore":"windlass-test-missing"}"#;
        let (_folder, paths) = files(&[content]);
        let login = Credentials::from_files(paths).find("a.io", "x").unwrap();
        assert_eq!(login.credential, Credential::Anonymous);
        let problem = login.problem.unwrap();
        assert!(problem.contains("docker-credential-windlass-test-missing"), "{problem}");
    }

    #[test]
    fn missing_helper_does_not_hide_what_the_files_know_of_the_registry() {
        let content = r#"{"credHelpers":{"a.io":"windlass-test-missing"}}"#;
        let (_folder, paths) = files(&[content, &auths(&["a.io"])]);
        let login = Credentials::from_files(paths).find("a.io", "x").unwrap();
        assert_eq!(login, Login { credential: basic("a.io"), problem: None });
    }
}
