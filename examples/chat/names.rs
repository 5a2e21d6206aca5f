//! Names and lines as they are taken: without what cannot be seen, and names without look-alikes.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// The longest names and lines, in characters.
pub const NAME: usize = 24;
pub const TEXT: usize = 2000;
/// Marks on one character: as many as any writing needs (UTS 39, section 5.4), and not a tower of them.
const MARKS: usize = 4;
/// Names that are tried in place of a taken one. It is a constant, so that a join costs the same however many have the name.
const TRIES: u32 = 16;

/// The name of a person or a room in its one form (NFKC, single spaces), or `None` for what cannot be one.
///
/// Characters that cannot be seen are refused: controls, those that turn the direction of text, joiners, variation selectors,
/// fillers, and what Unicode has not assigned.
pub fn name(text: &str) -> Option<String> {
    // What is longer cannot become shorter by composing: a name is a few characters with a few marks each.
    if text.chars().take(NAME * (MARKS + 1) + 1).count() > NAME * (MARKS + 1) {
        return None;
    }
    if !text.trim().chars().all(is_visible) {
        return None;
    }
    let name: String = text.nfkc().collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = (1..=NAME).contains(&name.chars().count()) && marks(&name) <= MARKS;
    let is_name = fits && name.chars().all(is_visible) && !name.starts_with(is_mark);
    is_name.then_some(name)
}

/// A line that can be said, or `None` for one that is empty or too long. Controls, line ends among them, become spaces; what
/// turns the direction of the text beyond a character is left out. Joiners stay: emoji and some writings need them.
pub fn text(text: &str) -> Option<String> {
    let kept = text.chars().filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
    let plain = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let text: String = kept.map(plain).collect();
    let text = text.trim();
    let is_line = text.chars().any(is_visible) && text.chars().count() <= TEXT;
    is_line.then(|| text.to_owned())
}

fn is_visible(c: char) -> bool {
    use GeneralCategory as Is;
    let is_hidden = matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        Is::Control
            | Is::Format
            | Is::LineSeparator
            | Is::ParagraphSeparator
            | Is::PrivateUse
            | Is::Surrogate
            | Is::Unassigned
    );
    // The blank of Braille is a symbol, and looks like nothing.
    !is_hidden && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) && c != '\u{2800}'
}

/// Whether a character is drawn over the one before it.
fn is_mark(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

/// The most marks that follow one another.
fn marks(name: &str) -> usize {
    let mut most = 0;
    name.chars().fold(0, |marks, c| {
        let marks = if is_mark(c) { marks + 1 } else { 0 };
        most = most.max(marks);
        marks
    });
    most
}

/// What names that look alike have in common (UTS 39, section 4). Letters are confused in either case, so there are two of
/// them, and a name is taken if either is.
pub fn looks(name: &str) -> [String; 2] {
    let of = |name: &str| skeleton(name).collect::<String>();
    [of(&name.to_lowercase()), of(name).to_lowercase()]
}

/// The name, or one with a number behind it that is not taken. `is_taken` is asked a limited number of times, so there might
/// be none.
pub fn free(name: &str, mut is_taken: impl FnMut(&str) -> bool) -> Option<String> {
    // Small numbers while there are any, and then large ones, of which there are too many to use up.
    let number = |n: u32| if n < 10 { n } else { fastrand::u32(10..1_000_000) };
    let numbered = (2..TRIES).map(|n| format!("{name} {}", number(n)));
    [name.to_owned()].into_iter().chain(numbered).find(|name| !is_taken(name))
}
