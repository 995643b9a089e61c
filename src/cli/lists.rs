//! Files with one thing a line: names to read, digests to write.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use windlass::error::{Context, Error, Result};
use windlass::image::Digest;

use crate::cli;
use crate::cli::failure::Failure;

/// Most bytes of a list: some 100,000 names.
const LIST_LIMIT: u64 = 16 * 1024 * 1024;

/// Fails if stdin would be read by more than one of the lists `files` and the options.
pub(crate) fn check_stdin(files: &[String], context: &cli::Context) -> Result<(), Failure> {
    let lists = files.iter().filter(|file| *file == "-").count();
    if lists > 1 || lists > 0 && context.settings.connection.creds_stdin {
        return Err(Failure::usage("expected one use of stdin, got several"));
    }
    Ok(())
}

/// Reads one value a line from `file`, or from stdin if that is `-`. `#` begins a comment, at the
/// start of a line or after a space.
///
/// Fails with the number of the first line that is no value.
pub(crate) fn read<T: FromStr<Err: Display>>(file: &str) -> Result<Vec<T>, Failure> {
    let mut bytes = Vec::new();
    if file == "-" {
        let mut stdin = io::stdin().lock().take(LIST_LIMIT + 1);
        stdin.read_to_end(&mut bytes).context(|| "reading stdin")?;
    } else {
        let opened = File::open(file).context(|| format!("opening `{file}`"))?;
        let read = opened.take(LIST_LIMIT + 1).read_to_end(&mut bytes);
        read.context(|| format!("reading `{file}`"))?;
    }
    let name = if file == "-" { "stdin" } else { file };
    if u64::try_from(bytes.len()).is_ok_and(|size| size > LIST_LIMIT) {
        return Err(Failure::usage(format!("{name}: expected at most {LIST_LIMIT} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{name}: expected UTF-8, got something else")))?;
    parse(&text).map_err(|(line, why)| Failure::usage(format!("{name}: line {line}: {why}")))
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<Vec<T>, (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let comment = line.char_indices().find(|(at, character)| {
            *character == '#' && !line[..*at].ends_with(|before: char| !before.is_whitespace())
        });
        let line = line[..comment.map_or(line.len(), |(at, _)| at)].trim();
        if !line.is_empty() {
            values.push(line.parse().map_err(|error: T::Err| (index + 1, error.to_string()))?);
        }
    }
    Ok(values)
}

/// The file of `--digestfile`. It is seen when it is committed; dropped before, it was never there.
pub(crate) struct DigestFile {
    path: PathBuf,
    /// Where it is written meanwhile. None if there is something at the path that only can be
    /// written into, such as `/dev/stderr`.
    temporary: Option<PathBuf>,
    file: File,
}

impl DigestFile {
    /// Fails now rather than at the end if it cannot be written.
    pub(crate) fn create(path: &Path) -> Result<DigestFile> {
        let creating = || format!("creating `{}`", path.display());
        // Where links lead; what is not there yet has no other name.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let path = target.as_path();
        let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if special {
            let file = File::options().write(true).open(path).context(creating)?;
            return Ok(DigestFile { path: path.into(), temporary: None, file });
        }
        let Some(name) = path.file_name() else {
            let message = format!("--digestfile: expected a file, got `{}`", path.display());
            return Err(Error::usage(message));
        };
        let mut name = name.to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).context(creating)?;
        Ok(DigestFile { path: path.into(), temporary: Some(temporary), file })
    }

    /// Writes it, one digest a line.
    pub(crate) fn commit(mut self, digests: &[Digest]) -> Result<()> {
        let lines: String = digests.iter().map(|digest| format!("{digest}\n")).collect();
        let written = self.file.write_all(lines.as_bytes());
        let writing = || format!("writing `{}`", self.path.display());
        written.context(writing)?;
        match &self.temporary {
            Some(temporary) => fs::rename(temporary, &self.path).context(writing)?,
            None => return Ok(()),
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for DigestFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nobody can be told, and nobody looks for it.
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_one_value_a_line_and_comments() {
        let text = "\u{feff}# all\n\n 1 \r\n2 # two\n\t#\n3#\n";
        assert_eq!(parse::<String>(text).unwrap(), ["1", "2", "3#"]);
        assert!(parse::<String>("").unwrap().is_empty());
        let (line, _) = parse::<u32>("1\n\nx\ny").unwrap_err();
        assert_eq!(line, 3);
    }

    #[test]
    fn digest_file_appears_at_once_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digests");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        drop(DigestFile::create(&path).unwrap());
        assert_eq!(names(), 0, "what is not committed was never there");
        let digest = Digest::of(b"");
        let file = DigestFile::create(&path).unwrap();
        assert!(!path.exists());
        file.commit(&[digest, digest]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{digest}\n{digest}\n"));
        assert_eq!(names(), 1);
        DigestFile::create(Path::new("/dev/null")).unwrap().commit(&[digest]).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file(), "devices stay devices");
        assert!(DigestFile::create(&folder.path().join("none/x")).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("digests", &link).unwrap();
        DigestFile::create(&link).unwrap().commit(&[digest]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{digest}\n"), "nothing is left");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
