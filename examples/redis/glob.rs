//! The patterns of `KEYS`.

/// Whether a text matches a pattern: `*` stands for any bytes, `?` for one, `[a-c]` and `[^a-c]` for one of a set, and `\`
/// takes the meaning from what follows it.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last star, and what it stands for so far. An earlier one never has to stand for more: what is between matches
    // as early as it can, so this takes no longer than both lengths multiplied.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let step = text.get(t).and_then(|byte| one(&pattern[p..], *byte));
        match (step, star) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((at, from))) if from < text.len() => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
}

/// How long the part of the pattern is that stands for this byte; `None` if its front does not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let (negated, mut set) = match rest {
                [b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            let mut found = false;
            loop {
                set = match set {
                    [b'\\', escaped, rest @ ..] => {
                        found |= *escaped == byte;
                        rest
                    }
                    // A set without an end has it at the end of the pattern.
                    [] | [b']', ..] => break,
                    [low, b'-', high, rest @ ..] => {
                        found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                        rest
                    }
                    [member, rest @ ..] => {
                        found |= *member == byte;
                        rest
                    }
                };
            }
            (found != negated).then(|| pattern.len() - set.len() + usize::from(!set.is_empty()))
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}
