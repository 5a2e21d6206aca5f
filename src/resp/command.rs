//! A command as it is lent to a handler.

use std::fmt;

/// Where an argument stands in its frame: from, to.
pub(super) type Place = (u32, u32);

/// A command: a name and what belongs to it. It lies in the connection's buffer, and nothing of it is copied.
#[derive(Clone, Copy)]
pub struct Command<'a> {
    frame: &'a [u8],
    /// Never empty.
    places: &'a [Place],
}

impl<'a> Command<'a> {
    pub(super) fn new(frame: &'a [u8], places: &'a [Place]) -> Command<'a> {
        Command { frame, places }
    }

    /// The name, as it was sent: names are told apart without regard to case.
    #[inline]
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// Whether this is its name, whatever its case.
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument at `index`, where 0 is the name.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let (from, to) = *self.places.get(index)?;
        self.frame.get(from as usize..to as usize)
    }

    /// How many arguments there are; the name is one.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a command has a name")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// What stands behind the name.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let frame = self.frame;
        self.places[1..].iter().map(move |(from, to)| &frame[*from as usize..*to as usize])
    }
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entry(&format_args!("{}", self.name().escape_ascii()));
        list.entries(self.arguments().map(|argument| argument.escape_ascii().to_string())).finish()
    }
}
