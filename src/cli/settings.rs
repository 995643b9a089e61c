#![expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;
use windlass::image::Platform;
use windlass::transfer::{Platforms, Retry};

use crate::cli::failure::Failure;
use crate::cli::logging::Filter;
use crate::cli::options::{Connection, Global, Shared};
use crate::cli::values::{Attempts, Jobs, ProgressMode, Seconds};

/// Where root keeps images, as a system service would.
const SYSTEM_STORE: &str = "/var/lib/windlass";

/// Requests under way at once, if nobody says another number.
const JOBS: usize = 8;

/// How long a connection may bring nothing.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What the arguments, the environment and the defaults come to. Nothing below `cli` looks at
/// any of the three.
pub(crate) struct Settings {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) progress: ProgressMode,
    pub(crate) log: Filter,
    /// What `--platform` says.
    pub(crate) only: Vec<Platform>,
    pub(crate) no_sync: bool,
    pub(crate) dry_run: bool,
    pub(crate) keep_going: bool,
    pub(crate) digestfile: Option<PathBuf>,
    pub(crate) stall_timeout: Duration,
    pub(crate) connection: Connection,
    all_platforms: bool,
    attempts: Option<Attempts>,
    max_wait: Option<Seconds>,
    store: Option<PathBuf>,
    jobs: Option<Jobs>,
    environment: Environment,
}

/// The environment variables, looked up by name.
pub(crate) struct Environment(Box<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString>;

impl Environment {
    /// That of this process.
    pub(crate) fn of_process() -> Environment {
        Environment(Box::new(|name| std::env::var_os(name)))
    }

    /// The value of `name`; an empty one is none.
    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.0)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The same as text. What is not UTF-8 is shown as it may be, and means nothing to whoever
    /// reads it.
    fn text(&self, name: &str) -> Option<String> {
        Some(self.path(name)?.to_string_lossy().into_owned())
    }
}

impl Settings {
    /// Puts them together.
    ///
    /// # Errors
    ///
    /// Options that contradict each other, and values of the environment that make no sense.
    pub(crate) fn new(shared: Shared, environment: Environment) -> Result<Settings, Failure> {
        let Shared { global, connection, patience, platforms, transfer, several } = shared;
        check_contradictions(&global, &connection)?;
        if platforms.all_platforms && !platforms.platform.is_empty() {
            return Err(Failure::usage("--platform and --all-platforms exclude each other"));
        }
        let stall_timeout = connection.stall_timeout.map_or(STALL_TIMEOUT, |Seconds(time)| time);
        if stall_timeout.is_zero() {
            return Err(Failure::usage("--stall-timeout: expected more than 0 seconds"));
        }
        let mut only = Vec::new();
        for platform in platforms.platform {
            if !only.contains(&platform) {
                only.push(platform);
            }
        }
        if global.store.as_ref().is_some_and(|store| store.as_os_str().is_empty()) {
            return Err(Failure::usage("--store: expected a folder, got nothing"));
        }
        Ok(Settings {
            json: global.json,
            quiet: global.quiet,
            progress: global.progress.unwrap_or(ProgressMode::Auto),
            log: log_filter(&global, &environment),
            only,
            all_platforms: platforms.all_platforms,
            no_sync: transfer.no_sync,
            dry_run: several.dry_run,
            keep_going: several.keep_going,
            digestfile: several.digestfile,
            attempts: patience.retries,
            max_wait: patience.retry_max_wait,
            stall_timeout,
            store: global.store.or_else(|| environment.path("WINDLASS_STORE")),
            jobs: transfer.jobs,
            connection,
            environment,
        })
    }

    /// Which platforms of an image are wanted.
    pub(crate) fn platforms(&self) -> Platforms {
        match self.only.as_slice() {
            _ if self.all_platforms => Platforms::All,
            [] => Platforms::Host,
            only => Platforms::Only(only.to_vec()),
        }
    }

    /// When and how long to try again.
    pub(crate) fn retry(&self) -> Retry {
        let default = Retry::default();
        Retry {
            attempts: self.attempts.map_or(default.attempts, |Attempts(attempts)| attempts),
            max_wait: self.max_wait.map_or(default.max_wait, |Seconds(time)| time),
            ..default
        }
    }

    /// The folder of the store.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        let root = rustix::process::geteuid().is_root();
        match &self.store {
            Some(store) => Ok(store.clone()),
            None if root => Ok(SYSTEM_STORE.into()),
            None => self.own_store().ok_or_else(|| {
                Failure::usage("there is no home folder to keep images in: HOME is not set")
                    .help("say where with --store DIR or WINDLASS_STORE")
            }),
        }
    }

    /// Where a user keeps images.
    ///
    /// Spec: [XDG Base Directory][spec], by which a relative path is none.
    ///
    /// [spec]: https://specifications.freedesktop.org/basedir-spec/0.8/
    fn own_store(&self) -> Option<PathBuf> {
        let shared = self.environment.path("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let shared = shared.or_else(|| Some(self.home()?.join(".local/share")))?;
        Some(shared.join("windlass"))
    }

    fn home(&self) -> Option<PathBuf> {
        self.environment.path("HOME")
    }

    /// Where a user's programs keep their settings.
    fn config_home(&self) -> Option<PathBuf> {
        let config = self.environment.path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        config.or_else(|| Some(self.home()?.join(".config")))
    }

    /// How many requests may be under way at once.
    pub(crate) fn jobs(&self) -> Result<usize, Failure> {
        match (self.jobs, self.environment.text("WINDLASS_JOBS")) {
            (Some(Jobs(jobs)), _) => Ok(jobs),
            (None, None) => Ok(JOBS),
            (None, Some(text)) => match text.parse() {
                Ok(Jobs(jobs)) => Ok(jobs),
                Err(error) => Err(Failure::usage(format!("WINDLASS_JOBS: {error}"))),
            },
        }
    }

    /// Where logins are kept, the first that knows a registry deciding: `$REGISTRY_AUTH_FILE`
    /// alone if it is set, else Docker's file, then podman's.
    pub(crate) fn login_files(&self) -> Vec<PathBuf> {
        if let Some(file) = self.environment.path("REGISTRY_AUTH_FILE") {
            return vec![file];
        }
        let home = self.home();
        let below = |base: Option<PathBuf>, path: &str| base.map(|base| base.join(path));
        let docker = self.environment.path("DOCKER_CONFIG");
        let docker = docker.or_else(|| below(home, ".docker"));
        [
            below(docker, "config.json"),
            below(self.environment.path("XDG_RUNTIME_DIR"), "containers/auth.json"),
            below(self.config_home(), "containers/auth.json"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The folders that certificates for one registry are put in, by its name: the user's own,
    /// then those of the machine.
    pub(crate) fn certificate_folders(&self) -> Vec<PathBuf> {
        let own = self.config_home().map(|config| config.join("containers/certs.d"));
        let machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
        own.into_iter().chain(machine.map(|path| Path::new(path).into())).collect()
    }

    /// An environment variable by its name, for proxies.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.environment.text(name)
    }
}

fn check_contradictions(global: &Global, connection: &Connection) -> Result<(), Failure> {
    let exclude = |a: (bool, &str), b: (bool, &str)| match (a, b) {
        ((true, a), (true, b)) => Err(Failure::usage(format!("{a} and {b} exclude each other"))),
        _ => Ok(()),
    };
    let anonymous = (connection.anonymous, "--anonymous");
    exclude((global.quiet, "--quiet"), (global.verbose > 0, "--verbose"))?;
    exclude(anonymous, (connection.creds_stdin, "--creds-stdin"))?;
    exclude(anonymous, (connection.authfile.is_some(), "--authfile"))?;
    match (&connection.cert_file, &connection.key_file) {
        (Some(_), None) => Err(Failure::usage("--cert-file needs --key-file")),
        (None, Some(_)) => Err(Failure::usage("--key-file needs --cert-file")),
        _ => Ok(()),
    }
}

/// What is typed counts more than the environment, which counts more than the default.
fn log_filter(global: &Global, environment: &Environment) -> Filter {
    match (global.quiet, global.verbose, environment.text("WINDLASS_LOG")) {
        (true, ..) => Filter::Level(LevelFilter::Error),
        (_, 1, _) => Filter::Level(LevelFilter::Info),
        (_, 2, _) => Filter::Level(LevelFilter::Debug),
        (_, 3.., _) => Filter::Level(LevelFilter::Trace),
        (_, 0, Some(text)) => Filter::Text(text),
        (_, 0, None) => Filter::Level(LevelFilter::Warn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str], variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let lookup = move |name: &str| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let shared = crate::cli::tests::shared(args);
        Settings::new(shared, Environment(Box::new(lookup)))
            .map_err(|failure| failure.error().to_string())
    }

    #[track_caller]
    fn refuse(args: &[&str], message: &str) {
        assert_eq!(settings(args, &[]).err().unwrap(), message);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        refuse(
            &["--all-platforms", "--platform", "linux/arm64"],
            "--platform and --all-platforms exclude each other",
        );
        refuse(
            &["--anonymous", "--creds-stdin"],
            "--anonymous and --creds-stdin exclude each other",
        );
        refuse(&["--anonymous", "--authfile=x"], "--anonymous and --authfile exclude each other");
        refuse(&["--cert-file", "x"], "--cert-file needs --key-file");
        refuse(&["--key-file", "x"], "--key-file needs --cert-file");
        refuse(&["-qv"], "--quiet and --verbose exclude each other");
        refuse(&["--stall-timeout=0"], "--stall-timeout: expected more than 0 seconds");
        refuse(&["--store="], "--store: expected a folder, got nothing");
    }

    #[test]
    fn typed_options_win_over_the_environment_and_that_over_defaults() {
        let jobs = |args: &[&str], variables: &[(&str, &str)]| {
            let jobs = settings(args, variables).unwrap().jobs();
            jobs.map_err(|failure| failure.error().to_string())
        };
        assert_eq!(jobs(&[], &[]), Ok(8));
        assert_eq!(jobs(&[], &[("WINDLASS_JOBS", "")]), Ok(8));
        assert_eq!(jobs(&[], &[("WINDLASS_JOBS", "3")]), Ok(3));
        assert_eq!(jobs(&["-j2"], &[("WINDLASS_JOBS", "x")]), Ok(2));
        assert_eq!(
            jobs(&[], &[("WINDLASS_JOBS", "0")]),
            Err("WINDLASS_JOBS: invalid value `0`: expected a number from 1 to 64".into())
        );
        let store =
            |args: &[&str]| settings(args, &[("WINDLASS_STORE", "/env")]).unwrap().store().unwrap();
        assert_eq!(store(&[]), Path::new("/env"));
        assert_eq!(store(&["--store", "typed"]), Path::new("typed"));
        let log = |args: &[&str]| settings(args, &[("WINDLASS_LOG", "trace")]).unwrap().log;
        assert_eq!(log(&[]), Filter::Text("trace".into()));
        assert_eq!(log(&["-q"]), Filter::Level(LevelFilter::Error));
        assert_eq!(log(&["-v"]), Filter::Level(LevelFilter::Info));
        assert_eq!(log(&["-vv"]), Filter::Level(LevelFilter::Debug));
    }

    #[test]
    fn store_of_a_user_follows_xdg() {
        let own = |variables: &[(&str, &str)]| settings(&[], variables).unwrap().own_store();
        assert_eq!(own(&[]), None);
        assert_eq!(own(&[("HOME", "/h")]), Some("/h/.local/share/windlass".into()));
        let both = [("HOME", "/h"), ("XDG_DATA_HOME", "/d")];
        assert_eq!(own(&both), Some("/d/windlass".into()));
        let relative = [("HOME", "/h"), ("XDG_DATA_HOME", "d")];
        assert_eq!(own(&relative), Some("/h/.local/share/windlass".into()));
    }

    #[test]
    fn logins_are_sought_where_docker_and_podman_keep_them() {
        let files = |variables: &[(&str, &str)]| -> Vec<String> {
            let files = settings(&[], variables).unwrap().login_files();
            files.iter().map(|file| file.display().to_string()).collect()
        };
        assert!(files(&[]).is_empty());
        assert_eq!(
            files(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")]),
            [
                "/h/.docker/config.json",
                "/run/user/1/containers/auth.json",
                "/h/.config/containers/auth.json"
            ]
        );
        assert_eq!(
            files(&[("DOCKER_CONFIG", "/d"), ("XDG_CONFIG_HOME", "/c")]),
            ["/d/config.json", "/c/containers/auth.json"]
        );
        assert_eq!(files(&[("REGISTRY_AUTH_FILE", "/a"), ("HOME", "/h")]), ["/a"]);
    }
}
