//! What somebody who mistyped may have meant.

/// What is longer was not mistyped: a host, a repository and a tag have some hundred characters.
const LONGEST: usize = 1024;

/// Those of `names` that are few changes away from `typed`, the nearest first, three at most.
pub(crate) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let typed_len = typed.chars().count();
    if typed_len > LONGEST {
        return Vec::new();
    }
    let allowed = (typed_len / 3).max(1);
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let apart = name.chars().count().abs_diff(typed_len);
            let distance = if apart > allowed { apart } else { distance(typed, name) };
            (distance <= allowed || is_part(typed, name)).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Whether one begins with the other, and that says something.
fn is_part(typed: &str, name: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches('-').len();
    bare(typed) > 2 && bare(name) > 2 && (name.starts_with(typed) || typed.starts_with(name))
}

/// How many characters must be put in, taken out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_are_few_changes_away() {
        let commands = ["pull", "list", "inspect", "digest", "manifest", "tags"];
        assert_eq!(nearest("pul", commands), ["pull"]);
        assert_eq!(nearest("lists", commands), ["list"]);
        assert_eq!(nearest("insp", commands), ["inspect"]);
        assert_eq!(nearest("manifets", commands), ["manifest"]);
        assert!(nearest("x", commands).is_empty());
        assert!(nearest("frobnicate", commands).is_empty());
        assert!(nearest(&"x".repeat(300_000), [&*"x".repeat(300_001)]).is_empty());
        assert_eq!(nearest("--job", ["--jobs", "--json", "--store"]), ["--jobs"]);
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
