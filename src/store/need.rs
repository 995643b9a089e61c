use std::collections::BTreeMap;

use super::finding::Problem;
use crate::image::{Descriptor, MediaType};

/// A blob that must be there, and what is said of it.
#[derive(Default)]
pub(super) struct Need {
    /// What its file holds; nothing if it was not read yet.
    pub(super) content: Option<Content>,
    /// What is said of it, by whom. Nothing if nothing leads to it.
    pub(super) said: BTreeMap<Claim, Said>,
}

/// What the file of a blob holds.
pub(super) struct Content {
    /// Bytes of the file, as far as there is one.
    pub(super) size: u64,
    /// What is wrong with it.
    pub(super) problem: Option<Problem>,
}

/// What a descriptor says of a blob beside its digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Claim {
    pub(super) size: u64,
    /// As what it is said to lead on, if it is.
    pub(super) kind: Option<MediaType>,
    /// Whether it must not be passed on, so that it need not be here.
    pub(super) elsewhere: bool,
}

/// Who says so, and what of it is wrong although the content is right.
#[derive(Default)]
pub(super) struct Said {
    /// The roots that lead there.
    pub(super) roots: Vec<usize>,
    pub(super) problem: Option<Problem>,
}

impl Content {
    pub(super) fn good(size: u64) -> Content {
        Content { size, problem: None }
    }

    pub(super) fn bad(size: u64, problem: Problem) -> Content {
        Content { size, problem: Some(problem) }
    }
}

impl Claim {
    pub(super) fn of(descriptor: &Descriptor, leads_on: bool) -> Claim {
        let kind = &descriptor.media_type;
        Claim {
            size: descriptor.size,
            kind: leads_on.then(|| kind.clone()),
            elsewhere: kind.is_nondistributable() && descriptor.urls.is_some(),
        }
    }
}

impl Need {
    /// What is wrong, each with the roots that it is wrong for: of content all of them, of what is
    /// said those alone that say it.
    pub(super) fn problems(&self) -> Vec<(Problem, Vec<usize>)> {
        let Some(content) = &self.content else { return Vec::new() };
        let all = || self.said.values().flat_map(|said| said.roots.iter().copied()).collect();
        match &content.problem {
            Some(Problem::Missing)
                if !self.said.is_empty() && self.said.keys().all(|it| it.elsewhere) =>
            {
                Vec::new()
            }
            // Bytes that are too few or too many say more than their digest.
            Some(Problem::Digest(got)) => match self.said.keys().next() {
                Some(claim) if self.said.keys().all(|it| it.size != content.size) => {
                    vec![(Problem::Size { expected: claim.size, got: content.size }, all())]
                }
                _ => vec![(Problem::Digest(*got), all())],
            },
            Some(problem) => vec![(problem.clone(), all())],
            None => {
                self.said.iter().filter_map(|(claim, said)| said.wrong(claim, content)).collect()
            }
        }
    }
}

impl Said {
    fn wrong(&self, claim: &Claim, content: &Content) -> Option<(Problem, Vec<usize>)> {
        let problem = match claim.size == content.size {
            true => self.problem.clone()?,
            false => Problem::Claim { said: claim.size, size: content.size },
        };
        Some((problem, self.roots.clone()))
    }
}
