/// How many candidates are looked at at most: for a config of ten thousand routes a suggestion is not worth minutes.
const MOST: usize = 200;

/// Of `known`, the one that `text` was probably meant to be.
pub(super) fn likely<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (distance, found) = nearest(text, known)?;
    let longest = found.chars().count().max(text.chars().count());
    (distance * 2 <= longest).then_some(found)
}

/// "did you mean" for a near one; else the nearest and all there are.
pub(super) fn advice(text: &str, known: &[&str]) -> String {
    match (
        likely(text, known.iter().copied()),
        nearest(text, known.iter().copied()),
    ) {
        (Some(found), _) => format!("did you mean `{found}`?"),
        (None, Some((_, found))) => format!("the nearest known is `{found}`; there are {}", listed(known)),
        (None, None) => "take it out".to_owned(),
    }
}

/// `a`, `b` and `c`
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<(usize, &'k str)> {
    let length = text.chars().count();
    if length > 100 {
        return known.into_iter().next().map(|first| (length, first));
    }
    let plain = text.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .filter(|word| word.len() <= 200)
        .take(MOST)
        .map(|word| {
            (
                strsim::damerau_levenshtein(&plain, &word.to_lowercase().replace('_', "-")),
                word,
            )
        })
        .min_by_key(|(distance, _)| *distance)
}

#[cfg(test)]
mod tests {
    use super::{advice, likely, listed};

    #[test]
    fn the_nearest_is_named_and_nonsense_is_not_guessed() {
        let known = ["stop-timeout", "stop-signal", "command"];
        assert_eq!(likely("stop_timeout", known), Some("stop-timeout"));
        assert_eq!(likely("comand", known), Some("command"));
        assert_eq!(likely("Command", known), Some("command"));
        assert_eq!(likely("xyzzy", known), None);
        assert_eq!(likely("", []), None);
        assert!(advice("xyzzy", &known).contains("`stop-timeout`, `stop-signal` and `command`"));
        assert_eq!(listed(&["a"]), "`a`");
    }
}
