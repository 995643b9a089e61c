use std::collections::HashSet;
use std::io::Read;

use serde::Deserialize;

use super::Remote;
use super::http::{Body, Method};
use super::problem::{foreign, problem};
use super::server::{Place, Question};
use super::url::Url;
use crate::error::{Context, Error, Result};
use crate::image::Digest;
use crate::printable::printable;
use crate::reference::is_tag;

/// How many tags are asked for at once; ECR refuses more.
const PAGE: u32 = 1000;

/// Most bytes of a page: 1000 tags of the longest kind are 128 KiB, but some send all at once.
const PAGE_LIMIT: u64 = 8 * 1024 * 1024;

/// Most pages of one list.
const PAGES: usize = 10_000;

/// The tags of a repository, page by page in the registry's order.
pub struct Tags {
    remote: Remote,
    next: Next,
    /// Where the pages were, to notice when they lead in circles; hashed, for a registry may make
    /// them long.
    seen: HashSet<Digest>,
}

enum Next {
    First,
    Page(Url),
    End,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    tags: Option<Vec<Option<String>>>,
}

impl Tags {
    pub(super) fn new(remote: Remote) -> Tags {
        Tags { remote, next: Next::First, seen: HashSet::new() }
    }

    /// The next page, which may be empty; `None` after the last one. Names that cannot be tags
    /// are left out.
    ///
    /// After an error the same page is asked for again.
    pub fn next_page(&mut self) -> Result<Option<Vec<String>>> {
        self.ask().context(|| format!("listing tags of {}", self.remote.repository))
    }

    fn ask(&mut self) -> Result<Option<Vec<String>>> {
        let server = self.remote.registry.server();
        let target = format!("tags/list?n={PAGE}");
        let question = Question::read(Method::Get, self.remote.repository.path(), target)
            .with("Accept", "application/json");
        let url = match &self.next {
            Next::First => server.url(question.repository, &question.target),
            Next::Page(url) => url.clone(),
            Next::End => return Ok(None),
        };
        let response =
            server.ask_at(&Place::own(url.clone()), &question, Body::Empty, &mut server.trail())?;
        if response.status != 200 {
            return Err(problem(response));
        }
        let mut bytes = Vec::new();
        response.body.take(PAGE_LIMIT + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|size| size > PAGE_LIMIT) {
            return Err(Error::content(format!("expected a page of at most {PAGE_LIMIT} bytes")));
        }
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::content(foreign(&response.headers, &bytes, response.led_away)));
        }
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|error| Error::content(format!("expected JSON of a list of tags: {error}")))?;
        let next = match next_link(response.headers.all("link")) {
            Some(link) => {
                let next = response.url.join(link)?;
                if *next.origin() != server.origin() {
                    let message = format!("the next page of tags is at another host: {next}");
                    return Err(Error::content(message));
                }
                let place = Digest::of(next.target().as_bytes());
                if self.seen.contains(&place) || next.target() == url.target() {
                    return Err(Error::content(format!("pages of tags lead in circles: {next}")));
                }
                if self.seen.len() >= PAGES {
                    return Err(Error::content(format!("more than {PAGES} pages of tags")));
                }
                Next::Page(next)
            }
            None => Next::End,
        };
        self.seen.insert(Digest::of(url.target().as_bytes()));
        self.next = next;
        let tags = document.tags.unwrap_or_default().into_iter().flatten();
        Ok(Some(tags.filter(|tag| is_tag_or_skipped(tag)).collect()))
    }
}

/// All names, one by one; ends after the first error.
impl IntoIterator for Tags {
    type Item = Result<String>;
    type IntoIter = Box<dyn Iterator<Item = Result<String>>>;

    fn into_iter(mut self) -> Self::IntoIter {
        let mut failed = false;
        let pages = std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let page = self.next_page().transpose()?;
            failed = page.is_err();
            Some(page)
        });
        Box::new(pages.flat_map(|page| match page {
            Ok(tags) => tags.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }))
    }
}

fn is_tag_or_skipped(tag: &str) -> bool {
    let valid = is_tag(tag);
    if !valid {
        log::debug!("skipping `{}`, which is no tag", printable(tag));
    }
    valid
}

/// The target of the link to the next page ([Link](https://www.rfc-editor.org/rfc/rfc8288)).
fn next_link<'a>(headers: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    for header in headers {
        let mut rest = header;
        while let Some((target, after)) =
            rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'))
        {
            let params = after.split('<').next().unwrap_or("");
            let is_next = params.split([';', ',']).any(|param| {
                param.split_once('=').is_some_and(|(key, value)| {
                    let value = value.trim().trim_matches('"');
                    key.trim().eq_ignore_ascii_case("rel")
                        && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
                })
            });
            if is_next {
                return Some(target);
            }
            rest = after;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_is_found_in_all_forms_of_the_link() {
        for (header, target) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>;rel=next", Some("x")),
            (r#"<x>; REL="prev next""#, Some("x")),
            (r#"<p>; rel="prev", <x,y;z>; title="t"; rel="next""#, Some("x,y;z")),
            (r#"<x>; rel="prev""#, None),
            (r#"<x>; rel="next-page""#, None),
            ("<x>", None),
            ("<x; rel=next", None),
            ("x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link([header].into_iter()), target, "{header}");
        }
        assert_eq!(next_link(["<a>; rel=prev", "<b>; rel=next"].into_iter()), Some("b"));
    }
}
