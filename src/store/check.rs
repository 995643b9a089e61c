use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use super::entry::{Entry, Odd};
use super::find::{Wanted, not_found};
use super::finding::{Checked, Finding, Problem, Report};
use super::names::{Index, Names};
use super::need::{Claim, Content, Need};
use super::tree::{Links, leads_on};
use super::{Store, file, sweep};
use crate::error::{ErrorKind, Result};
use crate::image::{Descriptor, Digest, MANIFEST_LIMIT, Manifest, MediaType};
use crate::stream::Verify;

/// What is to be checked.
struct Chosen {
    entries: Vec<Entry>,
    odd: Vec<Odd>,
}

impl Chosen {
    fn of(texts: &[&str], names: &Names<'_>) -> Result<Chosen> {
        let entries = names.entries();
        if texts.is_empty() {
            return Ok(Chosen { entries, odd: names.odd().cloned().collect() });
        }
        let (mut chosen, mut seen) = (Chosen { entries: vec![], odd: vec![] }, HashSet::new());
        for text in texts {
            let wanted = Wanted::parse(text);
            let selected = wanted.select(&entries);
            let odd: Vec<&Odd> = names.odd().filter(|odd| wanted.is_odd(odd)).collect();
            if selected.is_empty() && odd.is_empty() {
                return Err(not_found(text));
            }
            let new = selected.into_iter().filter(|it| seen.insert(it.position)).cloned();
            chosen.entries.extend(new.collect::<Vec<_>>());
            chosen.odd.extend(odd.into_iter().filter(|it| seen.insert(it.position)).cloned());
        }
        Ok(chosen)
    }
}

/// Entries that lead to the same, so that it is followed once.
struct Root<'a> {
    descriptor: &'a Descriptor,
    entries: Vec<&'a Entry>,
}

fn roots(entries: &[Entry]) -> Vec<Root<'_>> {
    let mut roots: Vec<Root<'_>> = Vec::new();
    let mut known: HashMap<(Digest, u64, &str), usize> = HashMap::new();
    for entry in entries {
        let Descriptor { digest, size, media_type, .. } = &entry.descriptor;
        let index = *known.entry((*digest, *size, media_type.as_str())).or_insert_with(|| {
            roots.push(Root { descriptor: &entry.descriptor, entries: Vec::new() });
            roots.len() - 1
        });
        roots[index].entries.push(entry);
    }
    roots
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
        let chosen = Chosen::of(texts, &index.names()?)?;
        let roots = roots(&chosen.entries);
        let mut needs = self.needs(&roots);
        if texts.is_empty() {
            for digest in sweep::blobs(&self.layout)? {
                needs.entry(digest).or_default();
            }
        }
        self.read_all(&mut needs, observe)?;
        let nameless = chosen.entries.iter().filter(|entry| entry.name.is_empty()).count();
        let names = chosen.entries.len() - nameless;
        let mut report = Report { names, nameless, ..Report::default() };
        for content in needs.values().filter_map(|need| need.content.as_ref()) {
            if content.problem != Some(Problem::Missing) {
                report.blobs += 1;
                report.size = report.size.saturating_add(content.size);
            }
        }
        report.findings = self.findings(&needs, &roots)?;
        let of_layout = |problem| Finding { digest: None, problem, entries: Vec::new() };
        // It is written before the first blob.
        let lost = !needs.is_empty() && file::open(&self.layout.marker())?.is_none();
        if texts.is_empty() && lost {
            report.findings.push(of_layout(Problem::Unmarked));
        }
        report.findings.extend(chosen.odd.into_iter().map(|odd| of_layout(Problem::Entry(odd))));
        Ok(report)
    }

    /// What `roots` lead to. Manifests are read for that.
    fn needs(&self, roots: &[Root<'_>]) -> BTreeMap<Digest, Need> {
        let mut needs: BTreeMap<Digest, Need> = BTreeMap::new();
        let mut links: HashMap<(Digest, MediaType), Option<Links>> = HashMap::new();
        for (index, root) in roots.iter().enumerate() {
            let mut seen = HashSet::new();
            let mut waiting = vec![root.descriptor.clone()];
            while let Some(descriptor) = waiting.pop() {
                let claim = Claim::of(&descriptor, leads_on(&descriptor));
                if !seen.insert((descriptor.digest, claim.clone())) {
                    continue;
                }
                let need = needs.entry(descriptor.digest).or_default();
                let kind = claim.kind.clone();
                let said = need.said.entry(claim).or_default();
                said.roots.push(index);
                let Some(kind) = kind else { continue };
                let links = links.entry((descriptor.digest, kind)).or_insert_with_key(|key| {
                    match self.links(&mut need.content, &key.0, &key.1) {
                        Ok(links) => links,
                        Err(problem) => {
                            said.problem = Some(problem);
                            None
                        }
                    }
                });
                waiting.extend(links.iter().flat_map(Links::all).cloned());
            }
        }
        needs
    }

    /// What a manifest leads to, whatever is said of its size, if it holds what its digest says.
    /// Notes in `content` whether it does.
    fn links(
        &self,
        content: &mut Option<Content>,
        digest: &Digest,
        kind: &MediaType,
    ) -> Result<Option<Links>, Problem> {
        let size = match (&content, self.is_there(*digest)) {
            (Some(Content { problem: Some(_), .. }), _) => return Ok(None),
            (_, Err(problem)) => {
                *content = Some(Content::bad(0, problem));
                return Ok(None);
            }
            (_, Ok(size)) => size,
        };
        if size > MANIFEST_LIMIT {
            let limit = MANIFEST_LIMIT;
            return Err(Problem::Malformed(format!("expected at most {limit} bytes, got {size}")));
        }
        let mut bytes = Vec::new();
        let descriptor = Descriptor::new(kind.clone(), *digest, size);
        let read = self
            .blob_file(&descriptor)
            .and_then(|file| Ok(Verify::new(file, &descriptor).read_to_end(&mut bytes)?));
        if let Err(error) = read {
            *content = Some(Content::bad(size, error.into()));
            return Ok(None);
        }
        *content = Some(Content::good(size));
        match Manifest::parse(bytes, digest.algorithm(), Some(kind)) {
            Ok(manifest) => Ok(Some(Links::of(&manifest))),
            Err(error) => Err(Problem::Malformed(error.to_string())),
        }
    }

    /// Whether there is a file under that digest, whatever it holds.
    pub fn has_file(&self, digest: Digest) -> bool {
        self.is_there(digest).is_ok()
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
    fn findings(&self, needs: &BTreeMap<Digest, Need>, roots: &[Root<'_>]) -> Result<Vec<Finding>> {
        let wrong = needs.iter().flat_map(|(digest, need)| {
            need.problems().into_iter().map(|(problem, roots)| (*digest, problem, roots))
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() {
            return Ok(Vec::new());
        }
        let now: HashSet<(String, Digest)> =
            self.entries()?.into_iter().map(|it| (it.name, it.descriptor.digest)).collect();
        let is_still = |entry: &Entry| now.contains(&(entry.name.clone(), entry.descriptor.digest));
        let mut findings = Vec::new();
        for (digest, problem, mut leading) in wrong {
            leading.sort_unstable();
            leading.dedup();
            let entries = leading.iter().flat_map(|index| roots[*index].entries.iter().copied());
            let mut still: Vec<Entry> = entries.filter(|it| is_still(it)).cloned().collect();
            still.sort_by(|a, b| (&a.name, a.position).cmp(&(&b.name, b.position)));
            if still.is_empty() && !leading.is_empty() {
                continue;
            }
            let is_gone = || matches!(self.is_there(digest), Err(Problem::Missing));
            let again = match problem {
                Problem::Missing if still.is_empty() => None,
                Problem::Missing => self.is_there(digest).err(),
                problem => Some(problem).filter(|_| !still.is_empty() || !is_gone()),
            };
            if let Some(problem) = again {
                findings.push(Finding { digest: Some(digest), problem, entries: still });
            }
        }
        Ok(findings)
    }
}
