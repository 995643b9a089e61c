use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::file::{ConfigFile, place_of, registry_of};
use super::helper::{Answer, Helper};
use super::{FILE_LIMIT, Secret, server_name};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::json::Ordered;

/// How long another login may take that uses the same file: its helper may ask someone to unlock
/// a keychain.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// How often we look whether it is done.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// A file in the form of Docker's `config.json`, in which logins are kept.
///
/// Of what else is in it nothing is lost, and at every moment it is one of the two: as it was, or
/// as it shall be. Nobody else can read it.
#[derive(Debug)]
pub struct LoginFile {
    path: PathBuf,
}

/// Where a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the file.
    File(PathBuf),
    /// By a program that the file names.
    Helper(String),
}

/// The fields of an object in their order, whatever they are.
type Fields<'a> = Vec<(String, &'a RawValue)>;

impl LoginFile {
    /// The file at `path`, which need not be there yet. If it is a link, the file that it leads to.
    pub fn new(path: PathBuf) -> LoginFile {
        LoginFile { path }
    }

    /// Keeps user and password for the registry `host`, or `host:port`, in place of what was kept
    /// for it before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] if the helper that is to keep it does not work.
    pub fn keep(&self, host: &str, user: &str, password: &Secret) -> Result<Kept> {
        let (host, server) = (registry_of(host), server_name(host));
        self.change(|config, auths| {
            let helper = config.helper(&host).map(str::to_owned);
            let entry = match &helper {
                Some(name) => {
                    Helper::new(name).store(server, user, password).map_err(Error::denied)?;
                    json!({})
                }
                None => {
                    let pair = format!("{user}:{}", password.expose());
                    json!({ "auth": BASE64.encode(pair) })
                }
            };
            auths.retain(|(key, _)| place_of(key) != host);
            let key = if host == "docker.io" { server.to_owned() } else { host.clone() };
            auths.push((key, entry.to_string()));
            Ok(Some(match helper {
                Some(name) => Kept::Helper(name),
                None => Kept::File(self.path.clone()),
            }))
        })
        .map(|kept| kept.unwrap_or_else(|| Kept::File(self.path.clone())))
    }

    /// Forgets what is kept for the registry `host`. Says whether there was something.
    ///
    /// # Errors
    ///
    /// As [`keep`](LoginFile::keep).
    pub fn forget(&self, host: &str) -> Result<bool> {
        if fs::symlink_metadata(&self.path).is_err_and(|it| it.kind() == io::ErrorKind::NotFound) {
            return Ok(false);
        }
        let (host, server) = (registry_of(host), server_name(host));
        let forgotten = self.change(|config, auths| {
            let mut there = false;
            if let Some(name) = config.helper(&host) {
                let helper = Helper::new(name);
                match helper.ask(server) {
                    Answer::Found(_) => {
                        helper.erase(server).map_err(Error::denied)?;
                        there = true;
                    }
                    Answer::Unknown => {}
                    Answer::Failed(why) => return Err(Error::denied(why)),
                }
            }
            let count = auths.len();
            auths.retain(|(key, _)| place_of(key) != host);
            Ok((there || auths.len() < count).then_some(()))
        })?;
        Ok(forgotten.is_some())
    }

    /// Reads the file, changes its logins, and replaces it if `change` says that there is
    /// something to replace; all under a lock, so that no other login is lost.
    fn change<T>(
        &self,
        change: impl FnOnce(&ConfigFile, &mut Vec<(String, String)>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let changing = || format!("changing `{}`", self.path.display());
        let path = target(&self.path);
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .context(|| format!("creating `{}`", folder.display()))?;
        let _lock = lock(folder).context(changing)?;
        let bytes = read(&path).context(changing)?;
        let config = ConfigFile::parse(&bytes).context(changing)?;
        let text = if bytes.trim_ascii().is_empty() { &b"{}"[..] } else { &bytes };
        let fields = fields(text).context(changing)?;
        let auths = fields.iter().find(|(key, _)| key == "auths");
        let auths = auths.map(|(_, raw)| raw.get()).filter(|raw| *raw != "null").unwrap_or("{}");
        let mut entries: Vec<(String, String)> = self::fields(auths.as_bytes())
            .context(changing)?
            .into_iter()
            .map(|(key, raw)| (key, raw.get().to_owned()))
            .collect();
        let Some(done) = change(&config, &mut entries).context(changing)? else { return Ok(None) };
        let auths = object(entries.iter().map(|(key, json)| (&**key, &**json)), "\t");
        let mut all: Vec<(&str, &str)> =
            fields.iter().map(|(key, raw)| (key.as_str(), raw.get())).collect();
        match all.iter_mut().find(|(key, _)| *key == "auths") {
            Some((_, json)) => *json = &auths,
            None => all.push(("auths", &auths)),
        }
        let text = object(all.into_iter(), "") + "\n";
        replace(&path, folder, text.as_bytes()).context(changing)?;
        Ok(Some(done))
    }
}

/// Where links lead, also to what is not there yet.
fn target(path: &Path) -> PathBuf {
    match (fs::canonicalize(path), fs::read_link(path)) {
        (Ok(path), _) => path,
        (Err(_), Ok(link)) => path.parent().map_or_else(|| link.clone(), |it| it.join(&link)),
        _ => path.to_owned(),
    }
}

/// A lock on the folder of the file, which itself is replaced.
fn lock(folder: &Path) -> Result<File> {
    let file = File::open(folder)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) if began.elapsed() > LOCK_WAIT => {
                let message = format!("another process has locked it for {LOCK_WAIT:?}");
                return Err(ErrorKind::Local(message).into());
            }
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_LOOK),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(ErrorKind::Local(format!("it is larger than {FILE_LIMIT} bytes")).into());
    }
    Ok(bytes)
}

/// The fields of a JSON object. The error shows nothing of it.
fn fields(text: &[u8]) -> Result<Fields<'_>> {
    match serde_json::from_slice::<Ordered<&RawValue>>(text) {
        Ok(Ordered(fields)) => Ok(fields),
        Err(_) => Err(ErrorKind::Local("it is not an object of JSON, each key once".into()).into()),
    }
}

/// An object in the way that Docker writes it.
fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, indent: &str) -> String {
    let field = |(key, json)| format!("\n{indent}\t{}: {json}", Value::from(key));
    let fields: Vec<String> = fields.map(field).collect();
    match fields.as_slice() {
        [] => "{}".to_owned(),
        fields => format!("{{{}\n{indent}}}", fields.join(",")),
    }
}

/// Replaces the file as a whole by one that nobody else can read.
fn replace(path: &Path, folder: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    // Whoever has the lock is the only one; another of this number is dead.
    let _ = fs::remove_file(&temporary);
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    Ok(File::open(folder)?.sync_all()?)
}
