/// Most challenges of one answer that are looked at; registries send one or two.
const CHALLENGE_LIMIT: usize = 16;

/// One way in which a server lets itself be convinced, from a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lowercase: Nexus writes `BASIC`.
    scheme: String,
    /// Keys in lowercase, values without their quotes.
    params: Vec<(String, String)>,
}

/// What a registry asks for, of what we know how to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// A token that `realm` gives out.
    Bearer {
        /// As it stands in the header; may be relative.
        realm: String,
        /// Whom the token is for, if the registry says so.
        service: Option<String>,
    },
    /// User and password.
    Basic,
}

impl Challenge {
    /// The value of that parameter; an empty one is none.
    pub(super) fn param(&self, key: &str) -> Option<&str> {
        let (_, value) = self.params.iter().find(|(own, _)| own == key)?;
        (!value.is_empty()).then_some(value)
    }
}

/// All challenges of the `WWW-Authenticate` headers of one answer, in their order.
///
/// Takes all that registries send, and skips what makes no sense.
///
/// Spec: [WWW-Authenticate][spec].
///
/// [spec]: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        parse_header(header, &mut challenges);
    }
    challenges
}

/// What to do about these challenges: a token rather than a password at every request.
pub(super) fn choose(challenges: &[Challenge]) -> Option<Demand> {
    let bearer = challenges.iter().filter(|challenge| challenge.scheme == "bearer");
    let demand = bearer.clone().find_map(|challenge| {
        let realm = challenge.param("realm")?.to_owned();
        Some(Demand::Bearer { realm, service: challenge.param("service").map(str::to_owned) })
    });
    demand.or_else(|| challenges.iter().any(|c| c.scheme == "basic").then_some(Demand::Basic))
}

/// The scopes that the registry wants a token for.
pub(super) fn scopes(challenges: &[Challenge]) -> Vec<String> {
    let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
    let scope = bearer.and_then(|challenge| challenge.param("scope")).unwrap_or("");
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Whether the registry knows who asks and wants a token for more.
pub(super) fn is_insufficient_scope(challenges: &[Challenge]) -> bool {
    challenges.iter().any(|challenge| challenge.param("error") == Some("insufficient_scope"))
}

fn parse_header(header: &str, challenges: &mut Vec<Challenge>) {
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() || challenges.len() == CHALLENGE_LIMIT {
            return;
        }
        let (word, after) = split_token(rest);
        if word.is_empty() {
            rest = skip_element(rest);
            continue;
        }
        match (parse_value(after), challenges.last_mut()) {
            (Some((value, after)), Some(challenge)) => {
                challenge.params.push((word.to_ascii_lowercase(), value));
                rest = skip_element(after);
            }
            // A parameter of nothing.
            (Some((_, after)), None) => rest = skip_element(after),
            (None, _) => {
                challenges
                    .push(Challenge { scheme: word.to_ascii_lowercase(), params: Vec::new() });
                rest = skip_token68(after);
            }
        }
    }
}

/// The value after `=`, and what follows it. There is none after the name of a scheme, nor in the
/// padding of a token68.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    Some((value, ""))
}

/// What follows a `token68`, such as the `YII=` of `Negotiate YII=`, if there is one here.
fn skip_token68(text: &str) -> &str {
    let start = text.trim_start_matches([' ', '\t']);
    let is_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let after = start.trim_start_matches(is_token68).trim_start_matches('=');
    let ends = after.trim_start_matches([' ', '\t']);
    if ends.is_empty() || ends.starts_with(',') { ends } else { text }
}

/// What follows the next comma; a new challenge may also begin without one.
fn skip_element(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t']);
    match split_token(text) {
        ("", _) => text.find(',').map_or("", |comma| &text[comma + 1..]),
        _ => text,
    }
}

/// Splits a `token` of RFC 9110 off the front.
fn split_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes challenges down as `scheme(key=value key=value)`.
    fn write(challenges: &[Challenge]) -> String {
        let write = |challenge: &Challenge| {
            let params: Vec<_> =
                challenge.params.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{}({})", challenge.scheme, params.join(" "))
        };
        challenges.iter().map(write).collect::<Vec<_>>().join(" ")
    }

    const HEADERS: &[(&[&str], &str)] = &[
        (
            &[r#"Bearer realm="https://a/t",service="a",scope="repository:b:pull,push""#],
            "bearer(realm=https://a/t service=a scope=repository:b:pull,push)",
        ),
        (&[r#"BASIC realm="Sonatype Nexus""#], "basic(realm=Sonatype Nexus)"),
        (&[r#"bEaReR ReAlM = "x" , Service= "y""#], "bearer(realm=x service=y)"),
        (&["Bearer realm=https://a/t,service=a"], "bearer(realm=https://a/t service=a)"),
        (&[r#"Bearer realm="a", Basic realm="b""#], "bearer(realm=a) basic(realm=b)"),
        (&[r#"Bearer realm="a"  Basic realm="b""#], "bearer(realm=a) basic(realm=b)"),
        (&[r#"Bearer realm="a""#, r#"Basic realm="b""#], "bearer(realm=a) basic(realm=b)"),
        (&[r#"Basic realm="a \"b\" \\ c""#], r#"basic(realm=a "b" \ c)"#),
        (&[r#"Basic realm="a, Bearer realm=b""#], "basic(realm=a, Bearer realm=b)"),
        (&["Negotiate", r#"Basic realm="a""#], "negotiate() basic(realm=a)"),
        (&[r#"Negotiate, Basic realm="a""#], "negotiate() basic(realm=a)"),
        (&[r#"Negotiate YII=, Basic realm="a""#], "negotiate() basic(realm=a)"),
        (&[r#"NTLM TlRM/+==, Basic realm="a""#], "ntlm() basic(realm=a)"),
        (&[r#", ,, Basic realm="a",,"#], "basic(realm=a)"),
        (&[r#"Bearer realm="a",scope="""#], "bearer(realm=a scope=)"),
        (&[r#"Bearer realm="a"#], "bearer(realm=a)"),
        (&[r#"Bearer realm="a\"#], "bearer(realm=a)"),
        (&["Bearer realm="], "bearer()"),
        (&["Bearer"], "bearer()"),
        (&[r#"realm="a""#], ""),
        (&[r#"Bearer realm="a"; service="b", scope="c""#], "bearer(realm=a scope=c)"),
        (&[r#"Bearer realm="é""#], "bearer(realm=é)"),
        (&["{}[]"], ""),
        (&["", " ", ","], ""),
        (&[], ""),
    ];

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (headers, expected) in HEADERS {
            assert_eq!(write(&parse(headers.iter().copied())), *expected, "{headers:?}");
        }
    }

    #[test]
    fn challenges_of_known_registries_say_what_to_do() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/challenges");
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                count += 1;
                let challenges = parse([line]);
                let two = line.contains(",Basic ");
                assert_eq!(challenges.len(), if two { 2 } else { 1 }, "{line}");
                // Every parameter that is in quotes there, and none more.
                let params: usize = challenges.iter().map(|challenge| challenge.params.len()).sum();
                assert_eq!(line.matches("=\"").count(), params, "{line}");
                let Some((_, realm)) = line.split_once("realm=\"") else { panic!("{line}") };
                let realm = realm.split('"').next().unwrap();
                match choose(&challenges).unwrap() {
                    Demand::Basic => assert!(line[..5].eq_ignore_ascii_case("basic"), "{line}"),
                    Demand::Bearer { realm: found, service } => {
                        assert_eq!(found, realm);
                        assert_eq!(service.is_some(), line.contains("service="), "{line}");
                    }
                }
            }
        }
        assert!(count > 20, "{count} are too few: where are the fixtures?");
    }

    #[test]
    fn token_is_preferred_to_password_in_any_order() {
        let bearer = || Some(Demand::Bearer { realm: "a".into(), service: None });
        for (header, expected) in [
            (r#"Bearer realm="a", Basic realm="b""#, bearer()),
            (r#"Basic realm="b", Bearer realm="a""#, bearer()),
            (r#"Basic realm="b""#, Some(Demand::Basic)),
            (r#"Bearer service="b", Basic realm="b""#, Some(Demand::Basic)),
            (r#"Bearer service="b", Bearer realm="a""#, bearer()),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(choose(&parse([header])), expected, "{header}");
        }
    }

    #[test]
    fn scopes_and_their_lack_are_read() {
        let challenges =
            parse([r#"Bearer realm="a",scope="b:c:pull d:e:*",error="invalid_token""#]);
        assert_eq!(scopes(&challenges), ["b:c:pull", "d:e:*"]);
        assert!(!is_insufficient_scope(&challenges));
        assert!(is_insufficient_scope(&parse([r#"Bearer error="insufficient_scope""#])));
        assert!(scopes(&parse([r#"Basic scope="x""#])).is_empty());
    }

    #[test]
    fn endless_challenges_are_not_kept() {
        assert_eq!(parse([&*"Basic, ".repeat(10_000)]).len(), CHALLENGE_LIMIT);
    }

    proptest! {
        #[test]
        fn cut_and_mutated_headers_never_panic(
            row in 0..HEADERS.len(), cut in 0..200_usize, at in 0..200_usize, put in any::<char>(),
        ) {
            for header in HEADERS[row].0 {
                let mut characters: Vec<char> = header.chars().collect();
                characters.truncate(cut);
                if let Some(character) = characters.get_mut(at) {
                    *character = put;
                }
                let text: String = characters.into_iter().collect();
                choose(&parse([&*text]));
            }
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,64}|[\\x00-\\x7f]{0,64}") {
            parse([&*text]);
        }
    }
}
