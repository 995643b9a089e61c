use std::collections::{BTreeMap, HashMap, HashSet};

use super::find::{Wanted, not_found};
use super::finding::{Checked, Finding, Problem, Report};
use super::names::{Entry, Index, Names, Root};
use super::tree::{Links, leads_on};
use super::{Store, file, sweep};
use crate::endpoint::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, MediaType};

/// What must be there, and who leads to it.
pub(super) struct Need {
    pub(super) descriptor: Descriptor,
    pub(super) entries: Vec<usize>,
    pub(super) problem: Option<Problem>,
    /// Whether its digest still has to be computed.
    pub(super) unread: bool,
}

impl Store {
    /// Reads all that the entries named by `texts` lead to, and says what of it is wrong; without
    /// names all entries, and the blobs that none of them leads to.
    ///
    /// `observe` is told of what is read, from several threads, and ends it by failing.
    ///
    /// # Errors
    ///
    /// When a name is not there, or the index cannot be read; what is wrong with blobs is in the
    /// report.
    pub fn check(
        &self,
        texts: &[&str],
        observe: &(dyn Fn(&Checked) -> Result<()> + Sync),
    ) -> Result<Report> {
        let index = Index::read(&self.layout)?;
        let names = index.names()?;
        let all = names.entries();
        let entries: Vec<Entry> = match texts {
            [] => all.clone(),
            texts => {
                let mut chosen: Vec<Entry> = Vec::new();
                for text in texts {
                    let selected = Wanted::parse(text).select(&all);
                    if selected.is_empty() {
                        return Err(Error::not_found(not_found(text, &all)));
                    }
                    let new: Vec<_> =
                        selected.into_iter().filter(|it| !chosen.contains(it)).cloned().collect();
                    chosen.extend(new);
                }
                chosen
            }
        };
        let mut needs = self.needs(&entries);
        if texts.is_empty() {
            self.add_unreferenced(&mut needs)?;
        }
        self.read_all(&mut needs, observe)?;
        let mut report = Report { names: entries.len(), ..Report::default() };
        for need in needs.values() {
            if need.problem != Some(Problem::Missing) {
                report.blobs += 1;
                report.size = report.size.saturating_add(need.descriptor.size);
            }
        }
        report.findings = self.findings(needs, &entries)?;
        if texts.is_empty() {
            report.findings.extend(self.index_findings(&names)?);
        }
        Ok(report)
    }

    /// What `entries` lead to. Manifests are read for that.
    fn needs(&self, entries: &[Entry]) -> BTreeMap<Digest, Need> {
        let mut needs: BTreeMap<Digest, Need> = BTreeMap::new();
        let mut links: HashMap<Digest, Option<Links>> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let mut seen = HashSet::new();
            let mut waiting = vec![entry.descriptor.clone()];
            while let Some(descriptor) = waiting.pop() {
                let digest = descriptor.digest;
                let may_lead_on = leads_on(&descriptor);
                let size = descriptor.size;
                let need = needs.entry(digest).or_insert_with(|| Need {
                    descriptor,
                    entries: Vec::new(),
                    problem: None,
                    unread: true,
                });
                if need.descriptor.size != size {
                    let got = need.descriptor.size;
                    need.problem.get_or_insert(Problem::Size { expected: size, got });
                }
                if !seen.insert(digest) {
                    continue;
                }
                need.entries.push(index);
                if !may_lead_on {
                    continue;
                }
                let links = links.entry(digest).or_insert_with(|| {
                    need.unread = false;
                    match self.read_manifest(&need.descriptor) {
                        Ok(links) => Some(links),
                        Err(problem) => {
                            need.problem = Some(problem);
                            None
                        }
                    }
                });
                waiting.extend(links.iter().flat_map(Links::all).cloned());
            }
        }
        needs
    }

    fn read_manifest(&self, descriptor: &Descriptor) -> Result<Links, Problem> {
        let (expected, got) = (descriptor.size, self.is_there(descriptor.digest)?);
        if got != expected {
            return Err(Problem::Size { expected, got });
        }
        Ok(Links::of(&self.manifest(descriptor)?))
    }

    /// Adds the blobs that nothing leads to: the next pull would take them for what they are called.
    fn add_unreferenced(&self, needs: &mut BTreeMap<Digest, Need>) -> Result<()> {
        for digest in sweep::blobs(&self.layout)? {
            if needs.contains_key(&digest) {
                continue;
            }
            let (size, problem) = match self.is_there(digest) {
                Ok(size) => (size, None),
                // Somebody is collecting garbage.
                Err(Problem::Missing) => continue,
                Err(problem) => (0, Some(problem)),
            };
            let descriptor = Descriptor::new(MediaType::default(), digest, size);
            let unread = problem.is_none();
            needs.insert(digest, Need { descriptor, entries: Vec::new(), problem, unread });
        }
        Ok(())
    }

    /// The size of a blob's file, if it is one.
    pub(super) fn is_there(&self, digest: Digest) -> Result<u64, Problem> {
        match file::open(&self.layout.blob(digest)) {
            Ok(Some(file)) => match file.metadata() {
                Ok(metadata) => Ok(metadata.len()),
                Err(error) => Err(Problem::Unreadable(error.to_string())),
            },
            Ok(None) => Err(Problem::Missing),
            Err(error) => match error.kind() {
                ErrorKind::Content(_) => Err(Problem::NotAFile),
                kind => Err(Problem::Unreadable(kind.to_string())),
            },
        }
    }

    /// What is still wrong now that all has been read: while that took place, names and what they
    /// led to may have gone, or come again.
    fn findings(&self, needs: BTreeMap<Digest, Need>, entries: &[Entry]) -> Result<Vec<Finding>> {
        let wrong: Vec<Need> = needs.into_values().filter(|need| need.problem.is_some()).collect();
        if wrong.is_empty() {
            return Ok(Vec::new());
        }
        let now: HashSet<(String, Digest)> =
            self.entries()?.into_iter().map(|it| (it.name, it.descriptor.digest)).collect();
        let is_still = |entry: &Entry| now.contains(&(entry.name.clone(), entry.descriptor.digest));
        let mut findings = Vec::new();
        for need in wrong {
            let leading: Vec<&Entry> = need.entries.iter().map(|index| &entries[*index]).collect();
            let still: Vec<Entry> =
                leading.iter().copied().filter(|entry| is_still(entry)).cloned().collect();
            if still.is_empty() && !leading.is_empty() {
                continue;
            }
            let Some(problem) = need.problem else { continue };
            let again = match problem {
                Problem::Missing => self.is_there(need.descriptor.digest).err(),
                _ if still.is_empty() => match self.is_there(need.descriptor.digest) {
                    Err(Problem::Missing) => None,
                    _ => Some(problem),
                },
                _ => Some(problem),
            };
            if let Some(problem) = again {
                let digest = Some(need.descriptor.digest);
                findings.push(Finding { digest, problem, entries: still });
            }
        }
        Ok(findings)
    }

    fn index_findings(&self, names: &Names<'_>) -> Result<Vec<Finding>> {
        let finding = |why: String| Finding {
            digest: None,
            problem: Problem::Entry(why),
            entries: Vec::new(),
        };
        let mut findings = Vec::new();
        let path = self.layout.index();
        if file::open(&path)?.is_none() && !sweep::blobs(&self.layout)?.is_empty() {
            findings.push(finding(format!("`{}` is missing", path.display())));
        }
        for root in names.roots() {
            if let Root::Unknown(json) = root {
                let json: String = json.chars().take(100).collect();
                let why = format!("expected a descriptor, got `{}`", json.escape_debug());
                findings.push(finding(why));
            }
        }
        Ok(findings)
    }
}
