//! Counting nothing.

use super::Turn;

#[derive(Clone, Default)]
pub(crate) struct Meter(());

/// A number of bytes that nobody keeps.
#[derive(Default)]
pub(crate) struct Level(());

impl Meter {
    /// Whether anything is counted, for what would have to be found out first.
    pub(crate) const COUNTS: bool = false;

    #[inline(always)]
    pub(crate) fn opened(&self, _: bool) {}

    #[inline(always)]
    pub(crate) fn closed(&self, _: usize) {}

    #[inline(always)]
    pub(crate) fn received(&self, _: usize) {}

    #[inline(always)]
    pub(crate) fn written(&self, _: usize) {}

    #[inline(always)]
    pub(crate) fn message_in(&self) {}

    #[inline(always)]
    pub(crate) fn message_out(&self) {}

    #[inline(always)]
    pub(crate) fn unhandled(&self, _: &Level, _: usize) {}

    #[inline(always)]
    pub(crate) fn unwritten(&self, _: &Level, _: usize) {}

    #[inline(always)]
    pub(crate) fn turn(&self, _: &Turn, _: u64) {}
}
